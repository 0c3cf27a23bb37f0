//! HTTP of the whole server: the routers of the crates merged, with health, the OpenAPI document and its page.

pub mod docs;
pub mod health;

use std::sync::Arc;

use axum::Router;
use command_api::http::CommandState;
use command_api::http::conventions::{self, Conventions};
use query_api::QueryState;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use self::health::Health;
use crate::simulator::{self, Simulator};

/// Every route of the server, under the conventions and the access table.
pub(crate) fn router(
    commands: CommandState,
    queries: QueryState,
    simulator: Simulator,
    health: Health,
) -> Router {
    let conventions = Conventions::new(Arc::clone(&commands.tokens));
    let (router, document) = OpenApiRouter::with_openapi(docs::frame())
        .merge(command_api::http::router(commands))
        .merge(query_api::router(queries))
        .merge(simulator::http::router(simulator))
        .merge(health::router(health))
        .split_for_parts();
    conventions::apply(router.merge(docs::routes(&document)), &conventions)
}

/// The OpenAPI document, without a server.
#[must_use]
pub fn openapi() -> OpenApi {
    let mut document = docs::frame();
    for part in
        [command_api::http::openapi(), query_api::openapi(), simulator::http::openapi(), health::openapi()]
    {
        document.merge(part);
    }
    document
}
