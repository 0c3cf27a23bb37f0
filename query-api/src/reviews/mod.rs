//! Reviews, and what products' ratings come to.

mod queries;
pub mod ratings;

use command_api::web::routes::Routes;
use utoipa_axum::routes;

use crate::web::state::QueryState;

/// Its operations.
#[must_use]
pub fn routes() -> Routes<QueryState> {
    Routes::default()
        .public(routes!(queries::product_reviews))
        .public(routes!(queries::get_review))
        .authenticated(routes!(queries::list_reviews))
}
