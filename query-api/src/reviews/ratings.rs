//! The rating of a product, beside whatever shows the product.

use std::collections::HashMap;

use domain::catalogue::product::ProductView;
use projections::engine::read_models::{ReadError, ReadModels};
use projections::reviews::ratings::{self, RatingRow, ReadRatings as _};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// What the reviews of a product come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, ToSchema)]
pub struct Rating {
    /// How many reviews are shown.
    count: u64,
    /// Their average, 1 to 5, to two decimals; null without a review.
    #[schema(required = true, minimum = 1, maximum = 5, example = 4.25)]
    average: Option<f64>,
}

impl From<&RatingRow> for Rating {
    fn from(row: &RatingRow) -> Self {
        // In hundredths, rounded half up.
        let hundredths = (row.sum * 200 + row.count).checked_div(row.count * 2);
        #[expect(clippy::cast_precision_loss, reason = "at most 500")]
        let average = hundredths.map(|n| n as f64 / 100.0);
        Self { count: row.count, average }
    }
}

/// A product, and what its reviews come to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RatedProduct)]
pub struct Rated {
    #[serde(flatten)]
    product: ProductView,
    /// What its reviews come to.
    rating: Rating,
    #[serde(skip)]
    sum: u64,
}

/// The projection that ratings are read from.
pub const READ: &str = ratings::NAME;

impl Rated {
    /// A product with its rating.
    ///
    /// # Errors
    /// [`ReadError`], here and below.
    pub async fn of(
        read: &(impl ReadModels + ?Sized),
        tenant: &str,
        product: ProductView,
    ) -> Result<Self, ReadError> {
        let found = read.ratings(tenant, &[product.id]).await?;
        Ok(Self::with(product, found.first()))
    }

    /// Products with their ratings, in the same order.
    pub async fn all(
        read: &(impl ReadModels + ?Sized),
        tenant: &str,
        products: Vec<ProductView>,
    ) -> Result<Vec<Self>, ReadError> {
        let ids: Vec<Uuid> = products.iter().map(|product| product.id).collect();
        let found = read.ratings(tenant, &ids).await?;
        let found: HashMap<Uuid, &RatingRow> = found.iter().map(|row| (row.product_id, row)).collect();
        let with = |product: ProductView| {
            let rating = found.get(&product.id).copied();
            Self::with(product, rating)
        };
        Ok(products.into_iter().map(with).collect())
    }

    fn with(product: ProductView, rating: Option<&RatingRow>) -> Self {
        let sum = rating.map_or(0, |row| row.sum);
        Self { product, rating: rating.map(Rating::from).unwrap_or_default(), sum }
    }

    /// What `ETag` says: the product's version, by which updates go, and what the rating is made of, where there is one.
    #[must_use]
    pub fn tag(&self) -> String {
        match self.rating.count {
            0 => self.product.version.to_string(),
            count => format!("{}.{count}.{}", self.product.version, self.sum),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: CAT-3
    #[test]
    fn an_average_has_two_decimals() {
        for (count, sum, average) in [
            (0, 0, None),
            (1, 5, Some(5.0)),
            (3, 13, Some(4.33)),
            (3, 14, Some(4.67)),
            (8, 33, Some(4.13)),
            (200, 801, Some(4.01)),
        ] {
            let row = RatingRow { product_id: Uuid::nil(), count, sum };
            assert_eq!(Rating::from(&row), Rating { count, average }, "{sum} of {count}");
        }
    }
}
