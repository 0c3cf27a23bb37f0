//! Shipments: what the warehouse reports.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::command::Step;
use domain::shop::shipment::{Shipment, ShipmentCommand};
use domain::stream::StreamId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::NoBody;
use super::issue::{Incoming, Key, Reply, path_id};
use super::openapi::{ById, ByRole, Conflicting, Matching, OptionalKey, OptionalMatch, Usual, WithBody};
use super::preconditions::IfMatch;
use super::problem::Problem;
use super::schema;
use super::state::CommandState;

const SHIPMENT: &str = "shipment";

pub(super) fn router() -> OpenApiRouter<CommandState> {
    OpenApiRouter::new().routes(routes!(dispatch)).routes(routes!(deliver))
}

/// Reports that a shipment has left the warehouse: its stock is deducted.
#[utoipa::path(
    post, path = "/api/v1/shipments/{id}/dispatch", operation_id = "dispatchShipment", tag = "shipments",
    params(("id" = uuid::Uuid, Path, description = "The shipment."), OptionalKey, OptionalMatch), security(("bearer" = [])),
    responses(
        (status = 200, description = "The shipment as it is now.", body = schema::Shipment, headers(
            ("ETag" = String, description = "The stream's version, quoted."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, ByRole, ById, Conflicting, Matching,
    ),
)]
async fn dispatch(
    state: State<CommandState>,
    id: Path<String>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    report(&state, &id, incoming, ShipmentCommand::Dispatch).await
}

/// Reports that the customer has a shipment.
#[utoipa::path(
    post, path = "/api/v1/shipments/{id}/deliver", operation_id = "deliverShipment", tag = "shipments",
    params(("id" = uuid::Uuid, Path, description = "The shipment."), OptionalKey, OptionalMatch), security(("bearer" = [])),
    responses(
        (status = 200, description = "The shipment as it is now.", body = schema::Shipment, headers(
            ("ETag" = String, description = "The stream's version, quoted."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, ByRole, ById, Conflicting, Matching,
    ),
)]
async fn deliver(state: State<CommandState>, id: Path<String>, incoming: Incoming) -> Result<Reply, Problem> {
    report(&state, &id, incoming, ShipmentCommand::Deliver).await
}

async fn report(
    state: &CommandState,
    id: &str,
    incoming: Incoming,
    command: ShipmentCommand,
) -> Result<Reply, Problem> {
    let stream = StreamId::new(&incoming.caller()?.tenant, SHIPMENT, path_id(id, SHIPMENT)?);
    let found = state.read::<Shipment>(&stream).await?;
    let (_, meta) = found.ok_or_else(|| Problem::not_found(SHIPMENT))?;
    let expected = IfMatch::read(&incoming.headers)?;
    let (issue, NoBody) = incoming.read(state, Key::Optional).await?;
    let step = Step {
        expected_version: expected.and_then(|expected| expected.version(meta.version)),
        ..Step::new(stream, command)
    };
    let accepted = issue.submit(state, vec![step]).await?;
    Ok(Reply::of(StatusCode::OK, &accepted)?.tagged())
}
