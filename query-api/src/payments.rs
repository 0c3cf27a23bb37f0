//! Payments: one by id.

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use command_api::http::access::Caller;
use command_api::http::openapi::{ById, LoggedIn, Usual};
use command_api::http::problem::Problem;
use command_api::http::schema;
use domain::shop::user::Role;
use domain::stream::StreamId;
use projections::read_models::Model;

use crate::ask::{Ask, not_parked};
use crate::docs::{ConditionalParam, SyncParam};
use crate::failed::Failed;
use crate::params::path_id;
use crate::reply::tagged;
use crate::state::QueryState;

/// A payment with its refunds. Somebody else's is not found, but for admin and support.
#[utoipa::path(
    get,
    path = "/api/v1/payments/{id}",
    operation_id = "get_payment",
    tag = "payments",
    summary = "Get a payment",
    params(("id" = Uuid, Path, description = "the payment's id"), SyncParam, ConditionalParam),
    responses(
        (status = 200, description = "The payment", body = schema::Payment, headers(("ETag" = String, description = "the stream's version, quoted"))),
        (status = 304, description = "The client has this version"),
        Usual, LoggedIn, ById,
    ),
    security(("bearer" = []))
)]
pub(crate) async fn get_payment(
    State(state): State<QueryState>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let id = path_id(&id, "payment")?;
    let ask = Ask::read(&state, &headers, raw.as_deref(), &[])?;
    let read = ask.settle(&state, &[Model::Payments]).await?;
    let payment = read.payment(&caller.tenant, id).await?;
    let sees_all = caller.has_any(&[Role::Admin, Role::Support]);
    if payment.as_ref().is_some_and(|p| p.customer_id != caller.user_id && !sees_all) {
        return Err(Problem::not_found("payment").into());
    }
    not_parked(&state, Model::Payments, &StreamId::new(&caller.tenant, "payment", id)).await?;
    let payment = payment.ok_or_else(|| Problem::not_found("payment"))?;
    tagged(&ask, payment.version, &payment)
}
