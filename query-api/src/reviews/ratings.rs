//! The ratings of products, beside whatever shows the products.

use std::collections::HashMap;

use command_api::reviews::shown::{RatedProduct, product_tag};
use domain::catalogue::product::ProductView;
use domain::reviews::rating::ProductRating;
use projections::engine::read_models::{ReadError, ReadModels};
use projections::reviews::ratings::{self, ReadRatings as _};
use uuid::Uuid;

/// The projection that ratings are read from.
pub const READ: &str = ratings::NAME;

/// A product with its rating, and what `ETag` says of both.
///
/// # Errors
/// [`ReadError`], here and below.
pub async fn rated(
    read: &(impl ReadModels + ?Sized),
    tenant: &str,
    product: ProductView,
) -> Result<(RatedProduct, String), ReadError> {
    let found = read.ratings(tenant, &[product.id]).await?;
    let rating = found.first().map(|row| row.rating).unwrap_or_default();
    let tag = product_tag(product.version, rating);
    Ok((RatedProduct::new(product, rating), tag))
}

/// Products with their ratings, in the same order.
pub async fn all_rated(
    read: &(impl ReadModels + ?Sized),
    tenant: &str,
    products: Vec<ProductView>,
) -> Result<Vec<RatedProduct>, ReadError> {
    let ids: Vec<Uuid> = products.iter().map(|product| product.id).collect();
    let found = read.ratings(tenant, &ids).await?;
    let found: HashMap<Uuid, ProductRating> = found.iter().map(|row| (row.product_id, row.rating)).collect();
    let rated = |product: ProductView| {
        let rating = found.get(&product.id).copied().unwrap_or_default();
        RatedProduct::new(product, rating)
    };
    Ok(products.into_iter().map(rated).collect())
}
