//! Refunds: whoever asked for one, the provider pays it back, and the payment hears what became of it.
//!
//! A process without a state of its own: the payment's events are all it needs. An accepted refund opens its only step, the call; the
//! payment's `refund_settled`, `refund_failed` or `refund_resolved` closes it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::command::Step;
use domain::event::RecordedEvent;
use domain::money::Money;
use domain::payments::payment::{Payment, PaymentCommand, PaymentEvent};
use domain::position::Position;
use domain::stream::{StreamId, StreamRef};
use domain::upcast::DecodeError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::engine::commands::Commands;
use crate::engine::process::{ProcessManager, Retry};
use crate::engine::work::{Opening, WorkChange, WorkItem};
use crate::fulfilment::ports::{PaymentProvider, ProviderError, in_time, words};
use crate::fulfilment::{ids, lanes};

/// Its name in the work queue.
pub const NAME: &str = "refunds";

/// Have the provider pay an accepted refund back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayBack {
    /// The payment.
    pub payment_id: Uuid,
    /// The refund; also its key at the provider.
    pub refund_id: Uuid,
    /// How much.
    pub amount: Money,
}

/// The id of a refund's work.
#[must_use]
pub fn work_id(payment_id: Uuid, refund_id: Uuid) -> String {
    format!("{payment_id}/refund/{refund_id}")
}

/// What an event gives the process to do. Pure.
///
/// # Errors
/// The event can't be decoded.
pub fn changes(event: &RecordedEvent) -> Result<Vec<WorkChange>, DecodeError> {
    if event.stream.kind() != "payment" || !event.event_type.starts_with("payment.refund") {
        return Ok(Vec::new());
    }
    let payment_id: Uuid = event.stream_uuid()?;
    let decoded = event.typed::<PaymentEvent>()?;
    let ended = match decoded {
        PaymentEvent::Refunded(refunded) => {
            let refund_id = refunded.refund_id;
            let work = PayBack { payment_id, refund_id, amount: refunded.amount };
            let closed_by = StreamRef { kind: "payment".to_owned(), id: payment_id.to_string() };
            let opening = Opening { event, process: NAME, saga_id: refunded.order_id, closed_by };
            return Ok(vec![opening.of(work_id(payment_id, refund_id), lanes::PAYMENTS, &work, None)?]);
        }
        PaymentEvent::RefundSettled(settled) => settled.refund_id,
        PaymentEvent::RefundResolved(resolved) => resolved.refund_id,
        PaymentEvent::RefundFailed(failed) => failed.refund_id,
        _ => return Ok(Vec::new()),
    };
    Ok(vec![WorkChange::Closed { id: work_id(payment_id, ended) }])
}

/// Has refunds paid back.
pub struct RefundManager {
    /// The way to the owners.
    pub commands: Commands,
    /// The payment provider.
    pub payments: Arc<dyn PaymentProvider>,
    /// How long one call may take.
    pub provider_timeout: Duration,
}

#[async_trait]
impl ProcessManager for RefundManager {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Has the provider pay the refund back, and records that, or that it refuses to.
    async fn perform(&self, item: &WorkItem, _tries: u32) -> Result<Position, Retry> {
        let PayBack { payment_id, refund_id, amount } = item.work()?;
        let stream = StreamId::new(&item.tenant, "payment", payment_id);
        let payment = self.commands.state::<Payment>(stream.clone()).await?;
        let payment = payment.ok_or_else(|| Retry::somebody(format!("there is no payment {payment_id}")))?;
        let Some(initiated) = payment.initiated else {
            return Err(Retry::somebody(format!("payment {payment_id} was never initiated")));
        };
        let known = payment.refunds.get(&refund_id);
        let ended = known.map(|refund| (refund.settled, refund.failure.is_some()));
        let paid = match ended {
            // A person said how it ended: the provider isn't asked any more.
            Some((true, _)) => Ok(String::new()),
            Some((_, true)) => Err(ProviderError::Refused(String::new())),
            _ => {
                let call = self.payments.refund(&initiated.provider_key, refund_id, amount);
                in_time(self.provider_timeout, call).await
            }
        };
        let (id, command) = match paid {
            Ok(provider_reference) => (
                ids::settle_command(payment_id, refund_id),
                PaymentCommand::SettleRefund { refund_id, provider_reference },
            ),
            Err(ProviderError::Refused(reason)) => (
                ids::fail_command(payment_id, refund_id),
                PaymentCommand::FailRefund { refund_id, reason: words(&reason) },
            ),
            Err(error) => return Err(error.into()),
        };
        Ok(self.commands.submit(item, id, item.cause_id, Step::new(stream, command)).await?.position)
    }
}
