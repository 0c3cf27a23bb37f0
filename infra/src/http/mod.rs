//! HTTP of a process: the routers of the roles that it runs, with health, the OpenAPI document and its page.

pub mod docs;
pub(crate) mod exposure;
pub mod health;
mod metrics;
mod other_roles;

use axum::Router;
use axum::middleware::from_fn_with_state;
use command_api::web::CommandState;
use command_api::web::conventions::{self, Conventions};
use command_api::web::door::Door;
use query_api::QueryState;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use self::health::Health;
use crate::config::Role;
use crate::simulator::{self, Simulator, nearby};

/// What a process serves: the parts of the roles that it runs.
pub(crate) struct Served {
    pub(crate) conventions: Conventions,
    pub(crate) commands: Option<CommandState>,
    pub(crate) queries: Option<QueryState>,
    /// What other instances ask, outside the API.
    pub(crate) peers: Router,
    pub(crate) simulator: Option<Simulator>,
    /// Whether the simulator answers others than this machine.
    pub(crate) simulator_is_public: bool,
    pub(crate) health: Health,
}

/// What the operators' own listener serves.
pub(crate) fn admin_router(conventions: &Conventions, health: Health) -> Router {
    let health = health.for_operators();
    let (router, _) = health::router(health.clone()).split_for_parts();
    // A crowd at the other listener is no reason to turn operators away.
    conventions::apply(router, &Conventions { door: Door::default(), ..conventions.clone() })
        .merge(metrics::router(health))
}

/// Every route of the API, under the conventions and the access table; those of roles that don't run here say who has them.
///
/// # Errors
/// When the OpenAPI document can't be written.
pub(crate) fn router(served: Served) -> serde_json::Result<Router> {
    let conventions = served.conventions;
    let outside = served.peers.merge(metrics::router(served.health.clone()));
    let mut router = OpenApiRouter::new().merge(health::router(served.health));
    let mut elsewhere = Router::new();
    match served.commands {
        Some(state) => router = router.merge(command_api::router(state)),
        None => elsewhere = elsewhere.merge(other_roles::routes(&command_api::openapi(), Role::CommandApi)),
    }
    match served.queries {
        Some(state) => router = router.merge(query_api::router(state)),
        None => elsewhere = elsewhere.merge(other_roles::routes(&query_api::openapi(), Role::QueryApi)),
    }
    match served.simulator {
        Some(simulator) => {
            let only = from_fn_with_state(served.simulator_is_public, nearby::only);
            router = router.merge(simulator::http::router(simulator).layer(only));
        }
        None => elsewhere = elsewhere.merge(other_roles::routes(&simulator::http::openapi(), Role::Sagas)),
    }
    let (router, _) = router.split_for_parts();
    let documented = router.merge(elsewhere).merge(docs::routes(&openapi())?);
    Ok(conventions::apply(documented, &conventions).merge(outside))
}

/// The OpenAPI document, the same whatever roles a process runs.
#[must_use]
pub fn openapi() -> OpenApi {
    let mut document = docs::frame();
    for part in [command_api::openapi(), query_api::openapi(), simulator::http::openapi(), health::openapi()]
    {
        document.merge(part);
    }
    document
}
