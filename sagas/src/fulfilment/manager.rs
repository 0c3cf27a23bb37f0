//! The process manager of fulfilment: carries out one piece of its work, and then the saga is told.

use std::sync::Arc;

use async_trait::async_trait;
use domain::command::{CommandError, CommandId, Step};
use domain::money::Money;
use domain::ordering::order::EndReason;
use domain::payments::payment::{Payment, PaymentCommand, RefundReason};
use domain::position::Position;
use domain::stream::StreamId;
use uuid::Uuid;

use super::action::{Action, ChargeResult, Outcome};
use super::work::FulfilmentWork;
use super::{FulfilmentCommand, KIND, Trigger};
use crate::engine::commands::Commands;
use crate::engine::process::{ProcessManager, Retry};
use crate::engine::work::WorkItem;
use crate::fulfilment::config::FulfilmentConfig;
use crate::fulfilment::ids;
use crate::fulfilment::ports::{
    Booking, BookingRequest, Carrier, ChargeRequest, PaymentProvider, ProviderError, in_time, words,
};

/// Drives the sagas of orders.
pub struct FulfilmentManager {
    /// The way to the owners.
    pub commands: Commands,
    /// The payment provider.
    pub payments: Arc<dyn PaymentProvider>,
    /// The carrier.
    pub carrier: Arc<dyn Carrier>,
    /// How it deals with time.
    pub config: FulfilmentConfig,
}

/// A definite no is an outcome; anything else is repeated.
fn call_refused(error: ProviderError) -> Result<Outcome, Retry> {
    match error {
        ProviderError::Refused(reason) => Ok(Outcome::CallRefused { reason: words(&reason) }),
        error => Err(error.into()),
    }
}

#[async_trait]
impl ProcessManager for FulfilmentManager {
    fn name(&self) -> &'static str {
        KIND
    }

    async fn perform(&self, item: &WorkItem, tries: u32) -> Result<Position, Retry> {
        let (trigger, cause) = match item.work::<FulfilmentWork>()? {
            FulfilmentWork::Start(order) => {
                let trigger =
                    Trigger::OrderPlaced { order_id: item.saga_id, order, terms: self.config.terms() };
                (trigger, item.cause_id)
            }
            FulfilmentWork::Signal(signal) => (Trigger::Signalled(signal), item.cause_id),
            FulfilmentWork::Deadline { name } => (Trigger::DeadlineReached { name }, item.cause_id),
            FulfilmentWork::Step { step, attempt, action } => {
                let id = ids::step_command(item.saga_id, step, attempt);
                let (outcome, cause) = self.carry_out(item, id, &action, tries).await?;
                (Trigger::StepFinished { step, attempt, outcome }, cause)
            }
        };
        self.tell(item, trigger, cause).await
    }
}

impl FulfilmentManager {
    /// Has the saga handle a trigger.
    async fn tell(&self, item: &WorkItem, trigger: Trigger, cause: Uuid) -> Result<Position, Retry> {
        let stream = StreamId::new(&item.tenant, KIND, item.saga_id);
        let step = Step::new(stream, FulfilmentCommand::Handle(trigger));
        let id = ids::handle_command(item.saga_id, &item.id);
        match self.commands.submit(item, id, cause, step).await {
            Ok(accepted) => Ok(accepted.position),
            // Only a clock that is ahead makes the saga refuse.
            Err(CommandError::Refused(refusal)) => Err(Retry::later(refusal)),
            Err(error) => Err(error.into()),
        }
    }

    /// Carries out a step; returns its outcome and what the saga's next events have as their cause.
    async fn carry_out(
        &self,
        item: &WorkItem,
        id: CommandId,
        action: &Action,
        tries: u32,
    ) -> Result<(Outcome, Uuid), Retry> {
        if let Some(step) = action.command(&item.tenant, item.saga_id) {
            return match self.commands.submit(item, id, item.cause_id, step).await {
                Ok(_) => Ok((Outcome::Accepted, id.0)),
                Err(CommandError::Refused(refusal)) => Ok((Outcome::Refused { code: refusal.code }, id.0)),
                Err(error) => Err(error.into()),
            };
        }
        if let Action::RefundPayment { payment_id, refund_id, reason } = action {
            return Ok((self.refund_rest(item, id, *payment_id, *refund_id, *reason).await?, id.0));
        }
        Ok((self.call(item, action, tries).await?, item.cause_id))
    }

    /// Calls the provider or the carrier.
    async fn call(&self, item: &WorkItem, action: &Action, tries: u32) -> Result<Outcome, Retry> {
        match action {
            Action::Charge { payment_id, amount, method, provider_key } => {
                let request = ChargeRequest {
                    key: provider_key.clone(),
                    payment_id: *payment_id,
                    order_id: item.saga_id,
                    amount: *amount,
                    method: method.clone(),
                };
                match self.in_time(self.payments.charge(&request)).await {
                    Ok(charge) => Ok(Outcome::Charge(charge.into())),
                    Err(ProviderError::Timeout) => Ok(Outcome::Charge(ChargeResult::Unknown)),
                    Err(ProviderError::Refused(reason)) => {
                        Ok(Outcome::Charge(ChargeResult::Refused { reason: words(&reason) }))
                    }
                    // An outage that lasts: the saga reconciles, so that the order doesn't hang on it.
                    Err(ProviderError::Unavailable(_)) if tries >= self.config.charge_retries => {
                        Ok(Outcome::Charge(ChargeResult::Unknown))
                    }
                    Err(error) => Err(error.into()),
                }
            }
            Action::Lookup { provider_key } => {
                match self.in_time(self.payments.lookup(provider_key)).await {
                    Ok(charge) => Ok(Outcome::Charge(charge.map_or(ChargeResult::NotFound, Into::into))),
                    // Who doesn't say has said nothing of the charge.
                    Err(ProviderError::Refused(_)) => Ok(Outcome::Charge(ChargeResult::Unknown)),
                    Err(error) => Err(error.into()),
                }
            }
            Action::Void { provider_key } => match self.in_time(self.payments.void(provider_key)).await {
                Ok(outcome) => Ok(Outcome::Charge(outcome.into())),
                Err(error) => call_refused(error),
            },
            Action::BookCarrier { shipment_id, country, carrier_key } => {
                let request = BookingRequest {
                    key: carrier_key.clone(),
                    shipment_id: *shipment_id,
                    order_id: item.saga_id,
                    country: country.clone(),
                };
                match self.in_time(self.carrier.book(&request)).await {
                    Ok(Booking::Booked { reference }) => Ok(Outcome::Booked { carrier_reference: reference }),
                    Ok(Booking::Refused { reason }) | Err(ProviderError::Refused(reason)) => {
                        Ok(Outcome::BookingRefused { reason: words(&reason) })
                    }
                    Err(error) => Err(error.into()),
                }
            }
            Action::CancelCarrier { carrier_key } => {
                match self.in_time(self.carrier.cancel(carrier_key)).await {
                    Ok(()) => Ok(Outcome::Accepted),
                    Err(error) => call_refused(error),
                }
            }
            other => Err(Retry::somebody(format!("{other:?} is no call of provider or carrier"))),
        }
    }

    async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        in_time(self.config.provider_timeout, call).await
    }

    /// Refunds what is left of a payment. What others asked for is settled first, since what fails of it is left too. Somebody
    /// else may refund at the same time: then the amount no longer fits, and the repeat reads again.
    async fn refund_rest(
        &self,
        item: &WorkItem,
        id: CommandId,
        payment_id: Uuid,
        refund_id: Uuid,
        reason: EndReason,
    ) -> Result<Outcome, Retry> {
        let stream = StreamId::new(&item.tenant, "payment", payment_id);
        let payment = self.commands.state::<Payment>(stream.clone()).await?;
        let payment = payment.ok_or_else(|| Retry::somebody(format!("there is no payment {payment_id}")))?;
        let left = payment.captured - payment.refunded;
        if payment.refunds.contains_key(&refund_id) {
            return Ok(Outcome::Accepted);
        }
        if payment.refunds.values().any(|refund| !refund.settled && refund.failure.is_none()) {
            return Err(Retry::later("another refund is on its way"));
        }
        let Some(initiated) = payment.initiated.filter(|_| left > 0) else {
            return Ok(Outcome::NothingToRefund);
        };
        let amount = Money::new(left, initiated.amount.currency);
        let reason = RefundReason::Plain(reason.as_str().to_owned());
        let command = PaymentCommand::Refund { refund_id, amount, reason };
        match self.commands.submit(item, id, item.cause_id, Step::new(stream, command)).await {
            Ok(_) => Ok(Outcome::Accepted),
            Err(CommandError::Refused(refusal)) if refusal.code == "refund-exceeds-capture" => {
                Err(Retry::later(refusal))
            }
            Err(CommandError::Refused(refusal)) => Ok(Outcome::Refused { code: refusal.code }),
            Err(error) => Err(error.into()),
        }
    }
}
