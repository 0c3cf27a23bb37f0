//! The catalogue: what is sold, and which SKU names it.

pub mod product;
pub mod sku_claim;
