//! Payments: one by id.

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use command_api::payments::refund_reasons;
use command_api::web::caller::Caller;
use command_api::web::openapi::{ById, Usual};
use command_api::web::preconditions::personal_tag;
use command_api::web::problem::Problem;
use domain::identity::user::Role;
use domain::payments::payment::{PaymentView, RefundReason};
use domain::personal;
use domain::stream::StreamId;
use projections::payments::{self, ReadPayments as _};

use crate::web::ask::{Ask, not_parked};
use crate::web::docs::{ConditionalParam, SyncParam};
use crate::web::failed::Failed;
use crate::web::params::path_id;
use crate::web::reply::tagged;
use crate::web::state::QueryState;

/// A payment with its refunds. Somebody else's is not found, but for admin and support.
#[utoipa::path(
    get,
    path = "/api/v1/payments/{id}",
    operation_id = "get_payment",
    tag = "payments",
    summary = "Get a payment",
    params(("id" = Uuid, Path, description = "the payment's id"), SyncParam, ConditionalParam),
    responses(
        (status = 200, description = "The payment", body = PaymentView, headers(("ETag" = String, description = "the stream's version, quoted"))),
        (status = 304, description = "The client has this version"),
        Usual, ById,
    )
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
    let read = ask.settle(&state, &[payments::NAME]).await?;
    let payment = read.payment(&caller.tenant, id).await?;
    let sees_all = caller.has_any(&[Role::Admin, Role::Support]);
    if payment.as_ref().is_some_and(|p| p.customer_id != caller.user_id && !sees_all) {
        return Err(Problem::not_found("payment").into());
    }
    not_parked(&state, payments::NAME, &StreamId::new(&caller.tenant, "payment", id)).await?;
    let payment = payment.ok_or_else(|| Problem::not_found("payment"))?;
    let reasons: Vec<RefundReason> = payment.refunds.iter().map(|refund| refund.reason.clone()).collect();
    let subject = personal::subject(&caller.tenant, payment.customer_id);
    let opened = refund_reasons::open(&*state.ports.keys, &subject, &reasons).await?;
    let tag = personal_tag(payment.version, opened.iter().map(String::as_str));
    let payment = payment.opened(opened).ok_or_else(Problem::internal)?;
    tagged(&ask, &tag, &payment)
}
