//! HTTP: the conventions that every operation follows, and the operations that issue commands.
//!
//! [`router`] has the command side's operations, one file per family; the query side adds its own. [`conventions::apply`] goes
//! around both, with the table of [`access`]. Every error is a [`problem::Problem`].

pub mod access;
pub mod accounts;
pub mod body;
pub mod context;
pub mod conventions;
pub mod door;
pub mod email;
pub mod fulfilments;
pub mod headers;
mod inventory;
mod issue;
mod leftover;
pub mod negotiation;
pub mod openapi;
mod operations;
mod order_input;
mod order_parts;
pub mod order_tag;
mod orders;
pub mod passwords;
mod payments;
pub mod peers;
pub mod preconditions;
pub mod problem;
mod products;
mod refresh;
pub mod refund_reasons;
pub mod schema;
mod sessions;
mod shipments;
mod skus;
pub mod state;
pub mod tokens;
pub mod unserved;
mod uri;
mod users;

use utoipa_axum::router::OpenApiRouter;

pub use state::CommandState;

/// The command side's operations with their part of the OpenAPI document.
pub fn router(state: CommandState) -> OpenApiRouter {
    routes().with_state(state)
}

/// The command side's part of the OpenAPI document, for those who have no server.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().into_openapi()
}

fn routes() -> OpenApiRouter<CommandState> {
    OpenApiRouter::with_openapi(openapi::base())
        .merge(users::router())
        .merge(sessions::router())
        .merge(products::router())
        .merge(inventory::router())
        .merge(orders::router())
        .merge(payments::router())
        .merge(shipments::router())
        .merge(operations::router())
}

#[cfg(test)]
mod tests;
