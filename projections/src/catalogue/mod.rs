//! The catalogue, and what a search finds in it.

pub mod documents;
pub mod products;

use std::sync::Arc;

use crate::engine::model::Projection;

/// Its projections.
#[must_use]
pub fn projections() -> Vec<Arc<dyn Projection>> {
    vec![Arc::new(products::Products), Arc::new(documents::Search)]
}
