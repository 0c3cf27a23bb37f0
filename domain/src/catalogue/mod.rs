//! The catalogue: what is sold, and which SKU names it.

pub mod product;
pub mod sku_claim;

use crate::aggregate::Registry;

/// Adds its aggregates.
#[must_use]
pub fn aggregates(registry: Registry) -> Registry {
    registry.with::<product::Product>().with::<sku_claim::SkuClaim>()
}
