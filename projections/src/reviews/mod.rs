//! Reviews, and the ratings of products.

pub mod ratings;
pub mod review;

use std::sync::Arc;

use crate::engine::model::Projection;

/// Its row projections.
#[must_use]
pub fn projections() -> Vec<Arc<dyn Projection>> {
    vec![Arc::new(ratings::Ratings), Arc::new(review::Reviews)]
}
