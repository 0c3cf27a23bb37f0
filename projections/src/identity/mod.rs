//! Accounts.

pub mod users;

use std::sync::Arc;

use crate::engine::model::Projection;

/// Its row projections.
#[must_use]
pub fn projections() -> Vec<Arc<dyn Projection>> {
    vec![Arc::new(users::Users)]
}
