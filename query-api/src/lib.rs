#![doc = include_str!("../README.md")]

pub mod audit;
mod catalogue;
mod identity;
mod inventory;
mod ordering;
mod payments;
mod processes;
mod shipping;
pub mod web;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use audit::verifier::{ShardReport, Verifier, VerifyError, VerifyReport};
pub use web::cursor::CursorKey;
pub use web::state::{QueryConfig, QueryPorts, QueryState};

/// Every operation of the query side, with its part of the OpenAPI document. The caller merges it with the command side's
/// router and puts the conventions and the access table of `command_api::web` around both.
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
    OpenApiRouter::with_openapi(command_api::web::openapi::base())
        .routes(routes!(identity::profile::get_profile))
        .routes(routes!(catalogue::products::list_products))
        .routes(routes!(catalogue::products::search_products))
        .routes(routes!(catalogue::products::get_product))
        .routes(routes!(inventory::availability::availability))
        .routes(routes!(ordering::orders::list_orders))
        .routes(routes!(ordering::orders::get_order))
        .routes(routes!(payments::payment::get_payment))
        .routes(routes!(shipping::shipment::get_shipment))
        .routes(routes!(processes::list_sagas))
        .routes(routes!(processes::get_saga))
        .routes(routes!(audit::streams::stream_events))
        .routes(routes!(audit::streams::stream_state))
        .routes(routes!(audit::events::list_events))
        .routes(routes!(audit::verify::verify))
        .routes(routes!(audit::verify::start_verification))
        .routes(routes!(audit::verify::get_verification))
}
