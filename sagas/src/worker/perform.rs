//! Carrying out one piece of work: the call or command, and then the saga is told.

use std::future::Future;

use domain::command::{Accepted, CommandError, CommandId, CommandRequest, Step, digest_of};
use domain::money::Money;
use domain::position::Position;
use domain::shop::order::EndReason;
use domain::shop::payment::{Payment, PaymentCommand, RefundReason};
use domain::stream::StreamId;
use domain::text::card;
use uuid::Uuid;

use super::Worker;
use crate::fulfilment::action::{Action, ChargeResult, Outcome};
use crate::fulfilment::{FulfilmentCommand, KIND, Trigger};
use crate::ids;
use crate::ports::{Booking, BookingRequest, ChargeRequest, ProviderError};
use crate::work::{Work, WorkItem};

/// Who acts in the events of the saga and of its steps.
const ACTOR: &str = "saga:fulfilment";

/// The work is not done: repeat it, under the same ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Retry {
    /// What is in the way.
    pub reason: String,
    /// It won't go away by itself.
    pub needs_somebody: bool,
}

impl Retry {
    fn later(reason: impl ToString) -> Self {
        Self { reason: reason.to_string(), needs_somebody: false }
    }

    fn somebody(reason: impl ToString) -> Self {
        Self { reason: reason.to_string(), needs_somebody: true }
    }
}

impl From<CommandError> for Retry {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::InFlight
            | CommandError::Overloaded
            | CommandError::OutcomeUnknown(_)
            | CommandError::NotOwner { .. }
            | CommandError::Unavailable(_) => Self::later(error),
            CommandError::Refused(_)
            | CommandError::BodyMismatch
            | CommandError::TooLarge { .. }
            | CommandError::Internal(_) => Self::somebody(error),
        }
    }
}

impl From<ProviderError> for Retry {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Timeout | ProviderError::Unavailable(_) => Self::later(error),
            // Every caller makes an outcome of it.
            ProviderError::Refused(_) => Self::somebody(error),
        }
    }
}

/// The longest words of a provider or carrier that are kept, in characters.
const MAX_WORDS: usize = 200;

/// Somebody else's words, as they are kept for ever: not too long, and without what looks like a card's number.
fn cut(words: &str) -> String {
    if card::contains_number(words) {
        return "withheld: it looks like it has a card number in it".to_owned();
    }
    words.chars().take(MAX_WORDS).collect()
}

/// A definite no is an outcome; anything else is repeated.
fn call_refused(error: ProviderError) -> Result<Outcome, Retry> {
    match error {
        ProviderError::Refused(reason) => Ok(Outcome::CallRefused { reason: cut(&reason) }),
        error => Err(error.into()),
    }
}

impl Worker {
    /// Carries out a piece of work that failed `tries` times before; answers the position from which on the read model shows
    /// it closed.
    ///
    /// # Errors
    /// [`Retry`].
    pub async fn perform(&self, item: &WorkItem, tries: u32) -> Result<Position, Retry> {
        match &item.work {
            Work::Start(order) => {
                let trigger = Trigger::OrderPlaced {
                    order_id: item.order_id,
                    order: order.clone(),
                    terms: self.fulfilment.terms(),
                };
                self.tell(item, trigger, item.cause_id).await
            }
            Work::Signal(signal) => self.tell(item, Trigger::Signalled(*signal), item.cause_id).await,
            Work::Deadline { name } => {
                self.tell(item, Trigger::DeadlineReached { name: name.clone() }, item.cause_id).await
            }
            Work::Step { step, attempt, action } => {
                let id = ids::step_command(item.order_id, *step, *attempt);
                let (outcome, cause) = self.carry_out(item, id, action, tries).await?;
                let trigger = Trigger::StepFinished { step: *step, attempt: *attempt, outcome };
                self.tell(item, trigger, cause).await
            }
            Work::Refund { payment_id, refund_id, amount } => {
                self.pay_back(item, *payment_id, *refund_id, *amount).await
            }
        }
    }

    /// Has the saga handle a trigger.
    async fn tell(&self, item: &WorkItem, trigger: Trigger, cause: Uuid) -> Result<Position, Retry> {
        let stream = StreamId::new(&item.tenant, KIND, item.order_id);
        let step = Step::new(stream, FulfilmentCommand::Handle(trigger));
        let id = ids::handle_command(item.order_id, &item.id);
        match self.submit(item, id, cause, step).await {
            Ok(accepted) => Ok(accepted.position),
            // Only a clock that is ahead makes the saga refuse.
            Err(CommandError::Refused(refusal)) => Err(Retry::later(refusal)),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a command. Its body hash is the id's: of two workers that carry out the same work the second gets the first
    /// one's answer, even if the provider told it something else.
    async fn submit(
        &self,
        item: &WorkItem,
        id: CommandId,
        cause: Uuid,
        step: Step,
    ) -> Result<Accepted, CommandError> {
        let request = CommandRequest {
            correlation_id: item.correlation_id,
            causation_id: cause,
            ..CommandRequest::new(id, ACTOR, vec![step]).repeatable(digest_of(&[&id.to_string()]))
        };
        let answer = tokio::time::timeout(self.config.command_timeout, self.gateway.submit(request)).await;
        answer.unwrap_or(Err(CommandError::OutcomeUnknown(id)))
    }

    /// Carries out a step; answers its outcome and what the saga's next events have as their cause.
    async fn carry_out(
        &self,
        item: &WorkItem,
        id: CommandId,
        action: &Action,
        tries: u32,
    ) -> Result<(Outcome, Uuid), Retry> {
        if let Some(step) = action.command(&item.tenant, item.order_id) {
            return match self.submit(item, id, item.cause_id, step).await {
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
                    order_id: item.order_id,
                    amount: *amount,
                    method: method.clone(),
                };
                match self.in_time(self.payments.charge(&request)).await {
                    Ok(charge) => Ok(Outcome::Charge(charge.into())),
                    Err(ProviderError::Timeout) => Ok(Outcome::Charge(ChargeResult::Unknown)),
                    Err(ProviderError::Refused(reason)) => {
                        Ok(Outcome::Charge(ChargeResult::Refused { reason: cut(&reason) }))
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
                    order_id: item.order_id,
                    country: country.clone(),
                };
                match self.in_time(self.carrier.book(&request)).await {
                    Ok(Booking::Booked { reference }) => Ok(Outcome::Booked { carrier_reference: reference }),
                    Ok(Booking::Refused { reason }) | Err(ProviderError::Refused(reason)) => {
                        Ok(Outcome::BookingRefused { reason: cut(&reason) })
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
        let limit = self.fulfilment.provider_timeout;
        tokio::time::timeout(limit, call).await.unwrap_or(Err(ProviderError::Timeout))
    }

    async fn payment(&self, tenant: &str, payment_id: Uuid) -> Result<Payment, Retry> {
        let stream = StreamId::new(tenant, "payment", payment_id);
        let read = self.gateway.read(std::slice::from_ref(&stream));
        let views = tokio::time::timeout(self.config.command_timeout, read)
            .await
            .map_err(|_| Retry::later("the owner of the payment's shard didn't answer in time"))??;
        let payment = views.first().and_then(|view| view.state::<Payment>()).cloned();
        payment.ok_or_else(|| Retry::somebody(format!("there is no payment {payment_id}")))
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
        let payment = self.payment(&item.tenant, payment_id).await?;
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
        let stream = StreamId::new(&item.tenant, "payment", payment_id);
        match self.submit(item, id, item.cause_id, Step::new(stream, command)).await {
            Ok(_) => Ok(Outcome::Accepted),
            Err(CommandError::Refused(refusal)) if refusal.code == "refund-exceeds-capture" => {
                Err(Retry::later(refusal))
            }
            Err(CommandError::Refused(refusal)) => Ok(Outcome::Refused { code: refusal.code }),
            Err(error) => Err(error.into()),
        }
    }

    /// Has the provider pay an accepted refund back, and records that, or that it refuses to.
    async fn pay_back(
        &self,
        item: &WorkItem,
        payment_id: Uuid,
        refund_id: Uuid,
        amount: Money,
    ) -> Result<Position, Retry> {
        let payment = self.payment(&item.tenant, payment_id).await?;
        let Some(initiated) = payment.initiated else {
            return Err(Retry::somebody(format!("payment {payment_id} was never initiated")));
        };
        let known = payment.refunds.get(&refund_id);
        let ended = known.map(|refund| (refund.settled, refund.failure.is_some()));
        let answer = match ended {
            // A person said how it ended: the provider isn't asked any more.
            Some((true, _)) => Ok(String::new()),
            Some((_, true)) => Err(ProviderError::Refused(String::new())),
            _ => self.in_time(self.payments.refund(&initiated.provider_key, refund_id, amount)).await,
        };
        let (id, command) = match answer {
            Ok(provider_reference) => (
                ids::settle_command(payment_id, refund_id),
                PaymentCommand::SettleRefund { refund_id, provider_reference },
            ),
            Err(ProviderError::Refused(reason)) => (
                ids::fail_command(payment_id, refund_id),
                PaymentCommand::FailRefund { refund_id, reason: cut(&reason) },
            ),
            Err(error) => return Err(error.into()),
        };
        let stream = StreamId::new(&item.tenant, "payment", payment_id);
        Ok(self.submit(item, id, item.cause_id, Step::new(stream, command)).await?.position)
    }
}
