//! Stock.

pub(crate) mod availability;

use command_api::web::routes::Routes;
use utoipa_axum::routes;

use crate::web::state::QueryState;

/// Its operations.
#[must_use]
pub fn routes() -> Routes<QueryState> {
    Routes::default().public(routes!(availability::availability))
}
