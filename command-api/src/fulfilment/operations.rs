//! Operations: what a person does about the saga of an order that doesn't go on by itself. Reading them is the query side's.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::command::Accepted;
use domain::identity::user::Role;
use domain::stream::StreamId;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::UtoipaMethodRouterExt as _;
use utoipa_axum::routes;

use crate::fulfilment::{Fulfilments, Resolution};
use crate::web::body::{NoBody, line, string};
use crate::web::issue::{Incoming, Key, Reply, path_id};
use crate::web::openapi::{ById, Conflicting, OptionalKey, Usual, WithBody};
use crate::web::problem::{FieldError, Problem};
use crate::web::routes::Routes;
use crate::web::state::CommandState;

const SAGA: &str = "saga";
/// The longest reason, in characters.
const MAX_REASON: usize = 500;

crate::body! {
    /// What became of a step.
    struct ResolveInput {
        /// The step, as the saga names it.
        step: String = line(1..=60).described(string).example("refund-payment"),
        /// `done`: in whichever way; `refused`: it wasn't, and it won't be.
        outcome: Resolution = line(1..=20).then(resolution).described(string).example("done"),
        /// Why you say so. It is kept for ever, so it names nobody.
        reason: String = line(1..=MAX_REASON),
    }
}

/// Whose saga was told.
#[derive(Serialize, ToSchema)]
struct Told {
    /// The order.
    order_id: uuid::Uuid,
}

fn resolution(word: String) -> Result<Resolution, &'static str> {
    match word.as_str() {
        "done" => Ok(Resolution::Done),
        "refused" => Ok(Resolution::Refused),
        _ => Err("must be done or refused"),
    }
}

pub(crate) fn routes(fulfilments: Arc<dyn Fulfilments>) -> Routes<CommandState> {
    const OPERATORS: &[Role] = &[Role::Operator, Role::Admin];
    let fulfilments = Extension(fulfilments);
    Routes::default()
        .roles(OPERATORS, routes!(retry).layer(fulfilments.clone()))
        .roles(OPERATORS, routes!(resolve).layer(fulfilments))
}

/// Has the saga of an order try again what can't go on by itself, as a new attempt. What goes on being tried, because a provider or the
/// carrier is away, is only noted.
#[utoipa::path(
    post, path = "/api/v1/operations/sagas/{order_id}/retry", operation_id = "retry_saga", tag = "operations",
    summary = "Try a stuck saga again",
    params(("order_id" = uuid::Uuid, Path, description = "The order."), OptionalKey),
    responses(
        (status = 202, description = "It is tried again.", body = Told, headers(
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, ById, Conflicting,
    ),
)]
async fn retry(
    State(state): State<CommandState>,
    Extension(fulfilments): Extension<Arc<dyn Fulfilments>>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    let (tenant, order_id) = (incoming.caller()?.tenant, path_id(&id, SAGA)?);
    exists(&state, &fulfilments.stream(&tenant, order_id)).await?;
    let (issue, NoBody) = incoming.read(&state, Key::Optional).await?;
    let accepted = issue.submit(&state, vec![fulfilments.retry(&tenant, order_id)]).await?;
    told(&accepted, order_id)
}

/// Says what became of a step that needs somebody, or whose provider or carrier is away: the saga goes on from there. Who said so, and
/// why, is an event of the saga.
#[utoipa::path(
    post, path = "/api/v1/operations/sagas/{order_id}/resolve", operation_id = "resolve_saga", tag = "operations",
    summary = "End a step of a stuck saga by hand",
    params(("order_id" = uuid::Uuid, Path, description = "The order."), OptionalKey),
    request_body = ResolveInput,
    responses(
        (status = 202, description = "The saga goes on from there.", body = Told, headers(
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, ById, Conflicting,
    ),
)]
async fn resolve(
    State(state): State<CommandState>,
    Extension(fulfilments): Extension<Arc<dyn Fulfilments>>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    let (tenant, order_id) = (incoming.caller()?.tenant, path_id(&id, SAGA)?);
    exists(&state, &fulfilments.stream(&tenant, order_id)).await?;
    let (issue, ResolveInput { step, outcome, reason }) = incoming.read(&state, Key::Optional).await?;
    let Some(step) = fulfilments.resolve(&tenant, order_id, &step, outcome, reason) else {
        let detail = "order fulfilment has no such step".to_owned();
        return Err(Problem::invalid(vec![FieldError { pointer: "/step".to_owned(), detail }]));
    };
    let accepted = issue.submit(&state, vec![step]).await?;
    told(&accepted, order_id)
}

fn told(accepted: &Accepted, order_id: uuid::Uuid) -> Result<Reply, Problem> {
    let body = serde_json::to_value(Told { order_id }).map_err(|_| Problem::internal())?;
    Ok(Reply::with(StatusCode::ACCEPTED, accepted, body))
}

/// 404 comes before the body is looked at.
async fn exists(state: &CommandState, stream: &StreamId) -> Result<(), Problem> {
    let views = state.gateway.read(std::slice::from_ref(stream)).await?;
    match views.first() {
        Some(view) if view.meta.version > 0 => Ok(()),
        _ => Err(Problem::not_found(SAGA)),
    }
}
