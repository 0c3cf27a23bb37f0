//! Shipments: one by id.

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use command_api::web::caller::Caller;
use command_api::web::openapi::{ById, Usual};
use command_api::web::problem::Problem;
use domain::identity::user::Role;
use domain::shipping::shipment::ShipmentView;
use domain::stream::StreamId;
use projections::shipping::{self, ReadShipments as _};

use crate::web::ask::{Ask, not_parked};
use crate::web::docs::{ConditionalParam, SyncParam};
use crate::web::failed::Failed;
use crate::web::params::path_id;
use crate::web::reply::tagged;
use crate::web::state::QueryState;

/// A shipment. Somebody else's is not found, but for admin, support and warehouse.
#[utoipa::path(
    get,
    path = "/api/v1/shipments/{id}",
    operation_id = "get_shipment",
    tag = "shipments",
    summary = "Get a shipment",
    params(("id" = Uuid, Path, description = "the shipment's id"), SyncParam, ConditionalParam),
    responses(
        (status = 200, description = "The shipment", body = ShipmentView, headers(("ETag" = String, description = "the stream's version, quoted"))),
        (status = 304, description = "The client has this version"),
        Usual, ById,
    )
)]
pub(crate) async fn get_shipment(
    State(state): State<QueryState>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let id = path_id(&id, "shipment")?;
    let ask = Ask::read(&state, &headers, raw.as_deref(), &[])?;
    let read = ask.settle(&state, &[shipping::NAME]).await?;
    let shipment = read.shipment(&caller.tenant, id).await?;
    let sees_all = caller.has_any(&[Role::Admin, Role::Support, Role::Warehouse]);
    if shipment.as_ref().is_some_and(|s| s.customer_id != caller.user_id && !sees_all) {
        return Err(Problem::not_found("shipment").into());
    }
    not_parked(&state, shipping::NAME, &StreamId::new(&caller.tenant, "shipment", id)).await?;
    let shipment = shipment.ok_or_else(|| Problem::not_found("shipment"))?;
    tagged(&ask, &shipment.version, &shipment)
}
