//! HTTP of a process: the routers of the roles that it runs, with health, the OpenAPI document and its page.

pub mod docs;
pub(crate) mod exposure;
pub mod health;
mod metrics;
mod other_roles;

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use axum::{Extension, Router};
use command_api::web::CommandState;
use command_api::web::access::{Access, Operation};
use command_api::web::conventions::{self, Conventions};
use command_api::web::door::Door;
use command_api::web::routes::Routes;
use projections::catalogue::documents::ProductSearch;
use query_api::QueryState;
use utoipa::openapi::OpenApi;

use self::health::Health;
use crate::config::Role;
use crate::fulfilments::OrderFulfilment;
use crate::simulator::{self, Simulator, nearby};

/// What a process serves: the parts of the roles that it runs.
pub(crate) struct Served {
    pub(crate) conventions: Conventions,
    pub(crate) commands: Option<CommandState>,
    pub(crate) queries: Option<(QueryState, Arc<dyn ProductSearch>)>,
    /// What other instances ask, outside the API.
    pub(crate) peers: Router,
    pub(crate) simulator: Option<Simulator>,
    /// Whether the simulator answers others than this machine.
    pub(crate) simulator_is_public: bool,
    pub(crate) health: Health,
}

/// What the operators' own listener serves.
pub(crate) fn admin_router(conventions: &Conventions, health: Health) -> Router {
    let (router, _) = health::routes().with_state(health.clone().for_operators()).split();
    // A crowd at the other listener is no reason to turn operators away.
    conventions::apply(router, &Conventions { door: Door::default(), ..conventions.clone() })
        .merge(metrics::router(health.for_operators()))
}

/// Every route of the API, under the conventions; those of roles that don't run here say who has them.
///
/// # Errors
/// When the OpenAPI document can't be written.
pub(crate) fn router(served: Served) -> serde_json::Result<Router> {
    let conventions = served.conventions;
    let outside = served.peers.merge(metrics::router(served.health.clone()));
    let (mut router, _) = health::routes().with_state(served.health).split();
    match served.commands {
        Some(state) => router = router.merge(commands().with_state(state).split().0),
        None => {
            router = router.merge(other_roles::routes(&commands().split().1, Role::CommandApi));
        }
    }
    match served.queries {
        Some((state, search)) => {
            let (queries, _) = query_api::routes().with_state(state).split();
            router = router.merge(queries.layer(Extension(search)));
        }
        None => router = router.merge(other_roles::routes(&query_api::routes().split().1, Role::QueryApi)),
    }
    match served.simulator {
        Some(simulator) => {
            let only = from_fn_with_state(served.simulator_is_public, nearby::only);
            let (simulated, _) = simulator::http::routes().with_state(simulator).split();
            router = router.merge(simulated.layer(only));
        }
        None => router = router.merge(other_roles::routes(&simulator::http::routes().split().1, Role::Sagas)),
    }
    let documented = router.merge(docs::routes(&openapi())?);
    Ok(conventions::apply(documented, &conventions).merge(outside))
}

/// The command side's operations.
fn commands() -> Routes<CommandState> {
    command_api::routes(Arc::new(OrderFulfilment))
}

/// Every operation and who may call it, the same whatever roles a process runs.
#[must_use]
pub fn operations() -> Vec<Operation> {
    let (commands, queries) = (commands(), query_api::routes());
    let (simulator, health) = (simulator::http::routes(), health::routes());
    let document = [Operation { method: "GET", path: docs::DOCUMENT.to_owned(), access: Access::Public }];
    let parts = [commands.operations(), queries.operations(), simulator.operations(), health.operations()];
    parts.into_iter().flatten().chain(&document).cloned().collect()
}

/// The OpenAPI document, the same whatever roles a process runs.
#[must_use]
pub fn openapi() -> OpenApi {
    let mut document = docs::frame();
    let parts = [
        commands().split().1,
        query_api::routes().split().1,
        simulator::http::routes().split().1,
        health::routes().split().1,
    ];
    for part in parts {
        document.merge(part);
    }
    document
}
