#![doc = include_str!("../README.md")]

mod catalogue;
pub mod fulfilment;
pub mod identity;
mod inventory;
pub mod leases;
pub mod ordering;
pub mod owner;
pub mod payments;
pub mod peers;
pub mod repository;
mod shipping;
pub mod web;

use utoipa_axum::router::OpenApiRouter;

use web::CommandState;

/// The command side's operations with their part of the OpenAPI document; the query side adds its own.
pub fn router(state: CommandState) -> OpenApiRouter {
    routes().with_state(state)
}

/// The command side's part of the OpenAPI document, for those who have no server.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().into_openapi()
}

fn routes() -> OpenApiRouter<CommandState> {
    OpenApiRouter::with_openapi(web::openapi::base())
        .merge(identity::router())
        .merge(catalogue::router())
        .merge(inventory::router())
        .merge(ordering::router())
        .merge(payments::router())
        .merge(shipping::router())
        .merge(fulfilment::router())
}

#[cfg(test)]
mod tests;
