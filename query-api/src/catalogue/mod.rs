//! The catalogue.

pub(crate) mod products;

use command_api::web::routes::Routes;
use utoipa_axum::routes;

use crate::web::state::QueryState;

/// Its operations.
#[must_use]
pub fn routes() -> Routes<QueryState> {
    Routes::default()
        .public(routes!(products::list_products))
        .public(routes!(products::search_products))
        .public(routes!(products::get_product))
}
