//! Shipments: what the warehouse reports.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::command::Step;
use domain::identity::user::Role;
use domain::ordering::order::Order;
use domain::payments::payment::{Payment, PaymentStatus};
use domain::refusal::Refusal;
use domain::shipping::shipment::{Shipment, ShipmentCommand, ShipmentError, ShipmentStatus, ShipmentView};
use domain::stream::StreamId;
use utoipa_axum::routes;

use crate::web::body::NoBody;
use crate::web::issue::{Incoming, Key, Reply, path_id};
use crate::web::openapi::{ById, Conflicting, Matching, OptionalKey, OptionalMatch, Usual, WithBody};
use crate::web::preconditions::IfMatch;
use crate::web::problem::Problem;
use crate::web::routes::Routes;
use crate::web::state::CommandState;

const SHIPMENT: &str = "shipment";

pub(crate) fn routes() -> Routes<CommandState> {
    const WAREHOUSE: &[Role] = &[Role::Admin, Role::Warehouse];
    Routes::default().roles(WAREHOUSE, routes!(dispatch)).roles(WAREHOUSE, routes!(deliver))
}

/// Reports that a shipment has left the warehouse: its stock is deducted.
#[utoipa::path(
    post, path = "/api/v1/shipments/{id}/dispatch", operation_id = "dispatch_shipment", tag = "shipments",
    params(("id" = uuid::Uuid, Path, description = "The shipment."), OptionalKey, OptionalMatch),
    responses(
        (status = 200, description = "The shipment as it is now.", body = ShipmentView, headers(
            ("ETag" = String, description = "The stream's version, quoted."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, ById, Conflicting, Matching,
    ),
)]
async fn dispatch(
    State(state): State<CommandState>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    let stream = StreamId::new(&incoming.caller()?.tenant, SHIPMENT, path_id(&id, SHIPMENT)?);
    let Some((shipment, meta)) = state.read::<Shipment>(&stream).await? else {
        return Err(Problem::not_found(SHIPMENT));
    };
    let expected = IfMatch::read(&incoming.headers)?.and_then(|expected| expected.version(meta.version));
    let (issue, NoBody) = incoming.read(&state, Key::Optional).await?;
    // A condition that doesn't hold is told before anything about the state it was not meant for.
    let is_meant = expected.is_none_or(|version| version == meta.version);
    let accepted = if is_meant && is_refunded(&state, &stream, &shipment).await? {
        let refused = Refusal::from(ShipmentError::Refunded);
        // The stored answer, if it was dispatched before everything was given back.
        issue.repeat_or(&state, stream.shard(state.gateway.shards()), refused.into()).await?
    } else {
        let step = Step { expected_version: expected, ..Step::new(stream, ShipmentCommand::Dispatch) };
        issue.submit(&state, vec![step]).await?
    };
    Ok(Reply::of(StatusCode::OK, &accepted)?.tagged())
}

/// Whether the order's whole payment was given back before the shipment left: then the saga calls it off, and whether it has done so yet changes
/// nothing for who wants to dispatch it.
async fn is_refunded(state: &CommandState, stream: &StreamId, shipment: &Shipment) -> Result<bool, Problem> {
    let (Some(requested), ShipmentStatus::Created | ShipmentStatus::Cancelled) =
        (&shipment.requested, shipment.status)
    else {
        return Ok(false);
    };
    let order = StreamId::new(stream.tenant(), "order", requested.order_id);
    let Some((Order { placed: Some(placed), .. }, _)) = state.read::<Order>(&order).await? else {
        return Ok(false);
    };
    let id = placed.payment_id(requested.order_id);
    let payment = state.read::<Payment>(&StreamId::new(stream.tenant(), "payment", id)).await?;
    Ok(payment.is_some_and(|(payment, _)| payment.status == PaymentStatus::Refunded))
}

/// Reports that the customer has a shipment.
#[utoipa::path(
    post, path = "/api/v1/shipments/{id}/deliver", operation_id = "deliver_shipment", tag = "shipments",
    params(("id" = uuid::Uuid, Path, description = "The shipment."), OptionalKey, OptionalMatch),
    responses(
        (status = 200, description = "The shipment as it is now.", body = ShipmentView, headers(
            ("ETag" = String, description = "The stream's version, quoted."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
        )),
        Usual, WithBody, ById, Conflicting, Matching,
    ),
)]
async fn deliver(
    State(state): State<CommandState>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    let stream = StreamId::new(&incoming.caller()?.tenant, SHIPMENT, path_id(&id, SHIPMENT)?);
    let found = state.read::<Shipment>(&stream).await?;
    let (_, meta) = found.ok_or_else(|| Problem::not_found(SHIPMENT))?;
    let expected = IfMatch::read(&incoming.headers)?;
    let (issue, NoBody) = incoming.read(&state, Key::Optional).await?;
    let step = Step {
        expected_version: expected.and_then(|expected| expected.version(meta.version)),
        ..Step::new(stream, ShipmentCommand::Deliver)
    };
    let accepted = issue.submit(&state, vec![step]).await?;
    Ok(Reply::of(StatusCode::OK, &accepted)?.tagged())
}
