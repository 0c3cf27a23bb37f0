//! Orders.

pub mod documents;
pub mod orders;

use std::sync::Arc;

use crate::engine::model::Projection;

/// Its projections.
#[must_use]
pub fn projections() -> Vec<Arc<dyn Projection>> {
    vec![Arc::new(orders::Orders), Arc::new(documents::SearchOrders)]
}
