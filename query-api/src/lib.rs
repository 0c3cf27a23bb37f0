#![doc = include_str!("../README.md")]

mod ask;
mod audit;
pub mod cursor;
mod docs;
mod failed;
mod inventory;
mod orders;
mod params;
mod payments;
mod products;
mod profile;
mod reply;
mod sagas;
mod shipments;
pub mod state;
pub mod verifier;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use cursor::CursorKey;
pub use state::{QueryConfig, QueryPorts, QueryState};
pub use verifier::{ShardReport, Verifier, VerifyError, VerifyReport};

/// Every operation of the query side, with its part of the OpenAPI document. The caller merges it with the command side's
/// router and puts the conventions and the access table of `command_api::http` around both.
#[must_use]
pub fn router(state: QueryState) -> OpenApiRouter {
    routes().with_state(state)
}

/// The query side's part of the OpenAPI document, for those who have no server.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().into_openapi()
}

fn routes() -> OpenApiRouter<QueryState> {
    OpenApiRouter::with_openapi(command_api::http::openapi::base())
        .routes(routes!(profile::get_profile))
        .routes(routes!(products::list_products))
        .routes(routes!(products::search_products))
        .routes(routes!(products::get_product))
        .routes(routes!(inventory::availability))
        .routes(routes!(orders::list_orders))
        .routes(routes!(orders::get_order))
        .routes(routes!(payments::get_payment))
        .routes(routes!(shipments::get_shipment))
        .routes(routes!(sagas::list_sagas))
        .routes(routes!(sagas::get_saga))
        .routes(routes!(audit::streams::stream_events))
        .routes(routes!(audit::streams::stream_state))
        .routes(routes!(audit::events::list_events))
        .routes(routes!(audit::verify::verify))
        .routes(routes!(audit::verify::start_verification))
        .routes(routes!(audit::verify::get_verification))
}
