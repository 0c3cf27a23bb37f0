//! Payments: one by id.

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use command_api::payments::refund_reasons;
use command_api::payments::shown;
use command_api::web::caller::Caller;
use command_api::web::openapi::{ById, Usual};
use command_api::web::preconditions::personal_tag;
use command_api::web::problem::Problem;
use domain::identity::user::Role;
use domain::payments::payment::RefundReason;
use domain::personal;
use domain::stream::StreamId;
use projections::payments::{self, PaymentRow, ReadPayments as _};
use serde_json::Value;

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
        (status = 200, description = "The payment", body = shown::Payment, headers(("ETag" = String, description = "the stream's version, quoted"))),
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
    tagged(&ask, &tag, &shown(payment, opened)?)
}

/// A payment with the reasons of its refunds in the clear; [`shown::Payment`] describes it.
fn shown(payment: PaymentRow, reasons: Vec<String>) -> Result<Value, Failed> {
    let mut body = serde_json::to_value(payment)?;
    let refunds = body["refunds"].as_array_mut().into_iter().flatten();
    for (refund, reason) in refunds.zip(reasons) {
        refund["reason"] = Value::from(reason);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use domain::money::{Currency, Money};
    use domain::personal::{ERASED, Sealed};
    use projections::payments::RefundRow;
    use uuid::Uuid;

    use super::*;

    // proves: OPS-5, SEC-6
    #[test]
    fn the_documented_shape_is_the_one_that_is_written() {
        let (id, usd) = (Uuid::from_u128(1), |amount| Money::new(amount, Currency::Usd));
        let reason = RefundReason::Sealed(Sealed::from_text("v1.c2VjcmV0".into()));
        let row = PaymentRow {
            id,
            order_id: id,
            customer_id: id,
            status: "partially_refunded".into(),
            amount: usd(2),
            captured: usd(2),
            refunded: usd(1),
            refunds: vec![RefundRow { id, amount: usd(1), reason, settled: true, failure: None }],
            decline_reason: None,
            version: 4,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        };
        let body = shown(row, vec![ERASED.to_owned()]).unwrap();
        assert!(!body.to_string().contains("c2VjcmV0"), "ciphertext is nobody's business");
        let payment: shown::Payment = serde_json::from_value(body).unwrap();
        assert_eq!(payment.refunds[0].reason, ERASED);
    }
}
