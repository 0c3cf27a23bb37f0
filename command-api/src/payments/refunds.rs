//! Payments: refunds.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::command::Step;
use domain::identity::user::Role;
use domain::money::Money;
use domain::payments::payment::{Payment, PaymentCommand, PaymentView};
use domain::personal;
use domain::stream::StreamId;
use utoipa_axum::routes;

use crate::payments::refund_reasons;
use crate::web::body::{line, money};
use crate::web::issue::{Incoming, Key, Reply, answer_of, path_id};
use crate::web::openapi::{ById, Conflicting, Matching, OptionalMatch, RequiredKey, Usual, WithBody};
use crate::web::preconditions::IfMatch;
use crate::web::problem::Problem;
use crate::web::routes::Routes;
use crate::web::state::CommandState;

const PAYMENT: &str = "payment";
/// The longest reason, in characters.
const MAX_REASON: usize = 500;

crate::body! {
    /// Money to give back.
    struct RefundInput {
        /// How much; at most what is left of the capture.
        amount: Money = money(),
        /// Why, for people; kept encrypted, and shown to the customer, support and admins.
        reason: String = line(1..=MAX_REASON),
    }
}

pub(crate) fn routes() -> Routes<CommandState> {
    Routes::default().roles(&[Role::Admin, Role::Support], routes!(refund))
}

/// Gives money back. The refund counts at once; the provider pays it back soon after.
#[utoipa::path(
    post, path = "/api/v1/payments/{id}/refund", operation_id = "refund_payment", tag = "payments",
    params(("id" = uuid::Uuid, Path, description = "The payment."), RequiredKey, OptionalMatch),
    request_body = RefundInput,
    responses(
        (status = 201, description = "The payment as it is now.", body = PaymentView, headers(
            ("Location" = String, description = "Where the payment is."),
            ("ETag" = String, description = "The stream's version, quoted."),
            ("Sync-Token" = String, description = "For queries that must see this command."),
            ("Idempotency-Replayed" = String, description = "`true` when this is the stored answer of a repeat."),
        )),
        Usual, WithBody, ById, Conflicting, Matching,
    ),
)]
async fn refund(
    State(state): State<CommandState>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Result<Reply, Problem> {
    let stream = StreamId::new(&incoming.caller()?.tenant, PAYMENT, path_id(&id, PAYMENT)?);
    let found = state.read::<Payment>(&stream).await?;
    let found = found.and_then(|(payment, meta)| Some((payment.initiated?.customer_id, meta.version)));
    let (customer_id, version) = found.ok_or_else(|| Problem::not_found(PAYMENT))?;
    let expected = IfMatch::read(&incoming.headers)?;
    let (issue, RefundInput { amount, reason }) = incoming.read(&state, Key::Required).await?;
    let subject = personal::subject(stream.tenant(), customer_id);
    let reason = refund_reasons::seal(&*state.keys, &subject, &reason).await?;
    // The refund's id is the command's, so that even a repeat whose answer was forgotten gives back nothing twice.
    let refund = PaymentCommand::Refund { refund_id: issue.id().0, amount, reason };
    let step = Step {
        expected_version: expected.and_then(|expected| expected.version(version)),
        ..Step::new(stream, refund)
    };
    let accepted = issue.submit(&state, vec![step]).await?;
    // Whoever may give money back may read why.
    let body = refund_reasons::open_answer(&*state.keys, &subject, answer_of(&accepted)?).await?;
    Ok(Reply::with(StatusCode::CREATED, &accepted, body).tagged().within("/api/v1/payments"))
}
