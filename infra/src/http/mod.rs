//! HTTP of a process: the routers of the roles that it runs, with health, the OpenAPI document and its page.

pub(crate) mod admission;
pub mod docs;
pub(crate) mod exposure;
pub mod health;
mod metrics;
pub(crate) mod open_files;
mod other_roles;

use std::sync::Arc;

use axum::{Extension, Router};
use command_api::web::CommandState;
use command_api::web::access::{Access, Operation};
use command_api::web::conventions::{self, Conventions};
use command_api::web::door::Door;
use projections::engine::search::TextSearch;
use query_api::QueryState;
use utoipa::openapi::OpenApi;

use self::health::Health;
use crate::application::Application;
use crate::config::Role;

/// What a process serves: the parts of the roles that it runs.
pub(crate) struct Served {
    pub(crate) conventions: Conventions,
    pub(crate) commands: Option<CommandState>,
    pub(crate) queries: Option<(QueryState, Arc<dyn TextSearch>)>,
    /// What other instances ask, outside the API.
    pub(crate) peers: Router,
    /// The operations of process managers, where these run.
    pub(crate) processes: Option<Router>,
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
pub(crate) fn router(application: &Application, served: Served) -> serde_json::Result<Router> {
    let conventions = served.conventions;
    let outside = served.peers.merge(metrics::router(served.health.clone()));
    let (mut router, _) = health::routes().with_state(served.health).split();
    let (commands, queries) = ((application.commands)(), (application.queries)());
    router = router.merge(match served.commands {
        Some(state) => commands.with_state(state).split().0,
        None => other_roles::routes(&commands.split().1, Role::CommandApi),
    });
    router = router.merge(match served.queries {
        Some((state, search)) => queries.with_state(state).split().0.layer(Extension(search)),
        None => other_roles::routes(&queries.split().1, Role::QueryApi),
    });
    router = match (served.processes, &application.processes) {
        (Some(processes), _) => router.merge(processes),
        (None, Some(processes)) => router.merge(other_roles::routes(&processes.operations().1, Role::Sagas)),
        (None, None) => router,
    };
    let documented = router.merge(docs::routes(&openapi(application))?);
    Ok(conventions::apply(documented, &conventions).merge(outside))
}

/// Every operation and who may call it, the same whatever roles a process runs.
#[must_use]
pub fn operations(application: &Application) -> Vec<Operation> {
    let mut all = (application.commands)().operations().to_vec();
    all.extend_from_slice((application.queries)().operations());
    all.extend(application.processes.iter().flat_map(|processes| processes.operations().0));
    all.extend_from_slice(health::routes().operations());
    all.push(Operation { method: "GET", path: docs::DOCUMENT.to_owned(), access: Access::Public });
    all
}

/// The OpenAPI document, the same whatever roles a process runs.
#[must_use]
pub fn openapi(application: &Application) -> OpenApi {
    let mut document = docs::frame();
    document.merge((application.commands)().split().1);
    document.merge((application.queries)().split().1);
    if let Some(processes) = &application.processes {
        document.merge(processes.operations().1);
    }
    document.merge(health::routes().split().1);
    document
}
