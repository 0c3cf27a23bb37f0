//! What every database makes of a list of products, so that a page of one is a page of the other.

use projections::read_models::{Listed, ProductRow, ProductSort};

use crate::keyset::{Keyset, SortValue, cut};
use crate::price_order;

/// What a cursor of this order is bound to. There is no best match in a list: it is as by creation.
pub(crate) fn order_name(sort: ProductSort) -> &'static str {
    match sort {
        ProductSort::Created | ProductSort::Relevance => "products-created",
        ProductSort::PriceAsc => "products-currency-price",
        ProductSort::PriceDesc => "products-currency-price-desc",
        ProductSort::Name => "products-name",
    }
}

/// The page of products, each with what it is sorted by as a name, of which one more was read than it may have.
pub(crate) fn page(
    mut rows: Vec<(ProductRow, String)>,
    sort: ProductSort,
    limit: usize,
) -> Listed<ProductRow> {
    let next = cut(&mut rows, limit, order_name(sort), |(product, sort_name)| {
        let value = match sort {
            ProductSort::Created | ProductSort::Relevance => SortValue::None,
            ProductSort::PriceAsc => SortValue::Number(price_order::ascending(product.price)),
            ProductSort::PriceDesc => SortValue::Number(price_order::descending(product.price)),
            ProductSort::Name => SortValue::Text(sort_name.clone()),
        };
        Keyset { value, created: product.created_at.timestamp_micros(), id: product.id }
    });
    Listed { items: rows.into_iter().map(|(product, _)| product).collect(), next }
}
