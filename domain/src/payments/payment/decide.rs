//! What a payment decides, and how its events change it.

use serde_json::Value;
use uuid::Uuid;

use super::{
    Payment, PaymentAuthorized, PaymentBecameUnknown, PaymentCaptured, PaymentCommand, PaymentDeclined,
    PaymentEvent, PaymentInitiated, PaymentRefundFailed, PaymentRefundResolved, PaymentRefundSettled,
    PaymentRefunded, PaymentStatus, PaymentView, PaymentVoided, Refund, RefundReason,
};
use crate::aggregate::{Aggregate, DecisionContext, StreamMeta};
use crate::money::{MAX_AMOUNT, Money};
use crate::refusal::{DomainError, RefusalKind};

/// The longest token of a payment method, in characters.
const MAX_METHOD: usize = 100;
/// The longest reason of a refund, in characters.
pub(super) const MAX_REASON: usize = 500;

/// Why a command for a payment is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PaymentError {
    /// It was opened before, for another order, amount or key.
    #[error("the payment exists already")]
    Exists,
    /// It was never opened.
    #[error("there is no such payment")]
    NotFound,
    /// An amount that is not positive, or too large.
    #[error("the amount must be between 1 and {MAX_AMOUNT} minor units")]
    Amount,
    /// The payment method is blank or too long.
    #[error("the payment method must have 1 to {MAX_METHOD} characters")]
    Method,
    /// Its status doesn't allow the step.
    #[error("a payment that is {from} can't become {to}")]
    IllegalTransition {
        /// The status that it has.
        from: PaymentStatus,
        /// The status that was asked for.
        to: PaymentStatus,
    },
    /// The provider names another charge than before: a second charge must never pass for the first.
    #[error("the provider recorded the payment before, under another reference")]
    OtherReference,
    /// Nothing was taken, so nothing can be given back.
    #[error("a payment that is {0} has nothing to refund")]
    NotCaptured(PaymentStatus),
    /// The refund is of another currency than the payment.
    #[error("the refund must be of the payment's currency")]
    Currency,
    /// More than what is left of the capture.
    #[error("the refund is more than the {left} that is left of the capture")]
    ExceedsCapture {
        /// What is left.
        left: Money,
    },
    /// The reason is blank or too long.
    #[error("the reason must have 1 to {MAX_REASON} characters")]
    Reason,
    /// No such refund was accepted.
    #[error("there is no such refund")]
    RefundNotFound,
    /// It was paid back before.
    #[error("the refund was paid back already")]
    RefundSettled,
}

impl DomainError for PaymentError {
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotFound | Self::RefundNotFound => RefusalKind::NotFound,
            Self::Exists
            | Self::IllegalTransition { .. }
            | Self::OtherReference
            | Self::NotCaptured(_)
            | Self::RefundSettled => RefusalKind::Conflict,
            Self::Amount | Self::Method | Self::Currency | Self::ExceedsCapture { .. } | Self::Reason => {
                RefusalKind::Invalid
            }
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Exists => "payment-exists",
            Self::NotFound => "payment-not-found",
            Self::Amount => "amount-out-of-range",
            Self::Method => "payment-method-length",
            Self::IllegalTransition { .. } => "illegal-transition",
            Self::OtherReference => "provider-reference-mismatch",
            Self::NotCaptured(_) => "payment-not-captured",
            Self::Currency => "currency-mismatch",
            Self::ExceedsCapture { .. } => "refund-exceeds-capture",
            Self::Reason => "refund-reason-length",
            Self::RefundNotFound => "refund-not-found",
            Self::RefundSettled => "refund-settled",
        }
    }
}

fn ensure(holds: bool, error: PaymentError) -> Result<(), PaymentError> {
    if holds { Ok(()) } else { Err(error) }
}

fn named(text: &str, max: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= max
}

fn in_range(amount: Money) -> Result<(), PaymentError> {
    ensure((1..=MAX_AMOUNT).contains(&amount.amount), PaymentError::Amount)
}

crate::cqrs_aggregate!(Payment, "payment", PaymentCommand, PaymentEvent, PaymentError);

impl Payment {
    fn initiate(&self, wanted: PaymentInitiated) -> Result<Vec<PaymentEvent>, PaymentError> {
        match &self.initiated {
            Some(known) if *known == wanted => Ok(Vec::new()),
            Some(_) => Err(PaymentError::Exists),
            None => {
                in_range(wanted.amount)?;
                ensure(named(&wanted.method, MAX_METHOD), PaymentError::Method)?;
                Ok(vec![PaymentEvent::Initiated(wanted)])
            }
        }
    }

    /// A result of the provider: the event when it is legal from here, nothing when it is so already.
    fn result(
        &self,
        to: PaymentStatus,
        holds: bool,
        event: PaymentEvent,
    ) -> Result<Vec<PaymentEvent>, PaymentError> {
        if holds {
            return Ok(Vec::new());
        }
        ensure(self.status.may_become(to), PaymentError::IllegalTransition { from: self.status, to })?;
        Ok(vec![event])
    }

    /// Refuses a second charge in the place of the one that holds.
    fn same_reference(&self, holds: bool, reference: &str) -> Result<(), PaymentError> {
        ensure(!holds || self.provider_reference.as_deref() == Some(reference), PaymentError::OtherReference)
    }

    fn refund(
        &self,
        initiated: &PaymentInitiated,
        refund_id: Uuid,
        amount: Money,
        reason: &RefundReason,
    ) -> Result<Vec<PaymentEvent>, PaymentError> {
        if self.refunds.contains_key(&refund_id) {
            return Ok(Vec::new());
        }
        let currency = initiated.amount.currency;
        ensure(self.status.is_captured(), PaymentError::NotCaptured(self.status))?;
        in_range(amount)?;
        ensure(amount.currency == currency, PaymentError::Currency)?;
        let left = self.captured - self.refunded;
        ensure(amount.amount <= left, PaymentError::ExceedsCapture { left: Money::new(left, currency) })?;
        // What is sealed was measured before.
        let long_enough = match reason {
            RefundReason::Sealed(_) => true,
            RefundReason::Plain(text) => named(text, MAX_REASON),
        };
        ensure(long_enough, PaymentError::Reason)?;
        let status =
            if amount.amount == left { PaymentStatus::Refunded } else { PaymentStatus::PartiallyRefunded };
        Ok(vec![PaymentEvent::Refunded(PaymentRefunded {
            order_id: initiated.order_id,
            refund_id,
            amount,
            reason: reason.clone(),
            refunded: Money::new(self.refunded + amount.amount, currency),
            status,
        })])
    }

    fn settle(
        &self,
        order_id: Uuid,
        refund_id: Uuid,
        reference: &str,
    ) -> Result<Vec<PaymentEvent>, PaymentError> {
        let refund = self.refunds.get(&refund_id).ok_or(PaymentError::RefundNotFound)?;
        if refund.settled {
            return Ok(Vec::new());
        }
        if refund.failure.is_some() {
            return self.resolve(order_id, refund_id);
        }
        let provider_reference = reference.to_owned();
        Ok(vec![PaymentEvent::RefundSettled(PaymentRefundSettled {
            order_id,
            refund_id,
            provider_reference,
        })])
    }
}

impl Payment {
    /// The status of a captured payment of which so much went back.
    fn refunded_status(&self, refunded: i64) -> PaymentStatus {
        match refunded {
            0 => PaymentStatus::Captured,
            part if part < self.captured => PaymentStatus::PartiallyRefunded,
            _ => PaymentStatus::Refunded,
        }
    }

    fn fail_refund(
        &self,
        order_id: Uuid,
        refund_id: Uuid,
        reason: &str,
    ) -> Result<Vec<PaymentEvent>, PaymentError> {
        let refund = self.refunds.get(&refund_id).ok_or(PaymentError::RefundNotFound)?;
        ensure(!refund.settled, PaymentError::RefundSettled)?;
        if refund.failure.is_some() {
            return Ok(Vec::new());
        }
        let refunded = self.refunded - refund.amount.amount;
        Ok(vec![PaymentEvent::RefundFailed(PaymentRefundFailed {
            order_id,
            refund_id,
            amount: refund.amount,
            // Somebody else's words, so they are only cut.
            reason: reason.chars().take(MAX_REASON).collect(),
            refunded: Money::new(refunded, refund.amount.currency),
            status: self.refunded_status(refunded),
        })])
    }

    /// It was paid back, whatever was known of it before. One that had failed counts again.
    fn resolve(&self, order_id: Uuid, refund_id: Uuid) -> Result<Vec<PaymentEvent>, PaymentError> {
        let refund = self.refunds.get(&refund_id).ok_or(PaymentError::RefundNotFound)?;
        if refund.settled {
            return Ok(Vec::new());
        }
        let (amount, currency) = (refund.amount, refund.amount.currency);
        let left = self.captured - self.refunded;
        let again = if refund.failure.is_some() { amount.amount } else { 0 };
        ensure(again <= left, PaymentError::ExceedsCapture { left: Money::new(left, currency) })?;
        let refunded = self.refunded + again;
        Ok(vec![PaymentEvent::RefundResolved(PaymentRefundResolved {
            order_id,
            refund_id,
            amount,
            refunded: Money::new(refunded, currency),
            status: self.refunded_status(refunded),
        })])
    }
}

impl Aggregate for Payment {
    const FOLD: u32 = 3;

    fn decide(
        &self,
        command: &PaymentCommand,
        _context: &DecisionContext,
    ) -> Result<Vec<PaymentEvent>, PaymentError> {
        if let PaymentCommand::Initiate { order_id, customer_id, amount, method, provider_key } = command {
            return self.initiate(PaymentInitiated {
                order_id: *order_id,
                customer_id: *customer_id,
                amount: *amount,
                method: method.clone(),
                provider_key: provider_key.clone(),
            });
        }
        let initiated = self.initiated.as_ref().ok_or(PaymentError::NotFound)?;
        let order_id = initiated.order_id;
        let status = self.status;
        match command {
            // Answered above.
            PaymentCommand::Initiate { .. } => Ok(Vec::new()),
            PaymentCommand::RecordAuthorized { provider_reference } => {
                self.same_reference(status == PaymentStatus::Authorized, provider_reference)?;
                // What was captured had been set aside: a late word of it says nothing new.
                let holds = status == PaymentStatus::Authorized || status.is_captured();
                let provider_reference = provider_reference.clone();
                let event = PaymentEvent::Authorized(PaymentAuthorized { order_id, provider_reference });
                self.result(PaymentStatus::Authorized, holds, event)
            }
            PaymentCommand::RecordCaptured { provider_reference } => {
                let holds = status.is_captured();
                self.same_reference(holds, provider_reference)?;
                let event = PaymentEvent::Captured(PaymentCaptured {
                    order_id,
                    captured: initiated.amount,
                    provider_reference: provider_reference.clone(),
                });
                self.result(PaymentStatus::Captured, holds, event)
            }
            PaymentCommand::RecordDeclined { reason } => {
                let event = PaymentEvent::Declined(PaymentDeclined { order_id, reason: *reason });
                self.result(PaymentStatus::Declined, status == PaymentStatus::Declined, event)
            }
            PaymentCommand::RecordUnknown => {
                let event = PaymentEvent::Unknown(PaymentBecameUnknown { order_id });
                self.result(PaymentStatus::Unknown, status == PaymentStatus::Unknown, event)
            }
            PaymentCommand::RecordVoided => {
                let event = PaymentEvent::Voided(PaymentVoided { order_id });
                self.result(PaymentStatus::Voided, status == PaymentStatus::Voided, event)
            }
            PaymentCommand::Refund { refund_id, amount, reason } => {
                self.refund(initiated, *refund_id, *amount, reason)
            }
            PaymentCommand::SettleRefund { refund_id, provider_reference } => {
                self.settle(order_id, *refund_id, provider_reference)
            }
            PaymentCommand::FailRefund { refund_id, reason } => {
                self.fail_refund(order_id, *refund_id, reason)
            }
            PaymentCommand::ResolveRefund { refund_id } => self.resolve(order_id, *refund_id),
        }
    }

    fn evolve(&mut self, event: &PaymentEvent) {
        match event {
            PaymentEvent::Initiated(initiated) => {
                self.initiated = Some(initiated.clone());
                self.status = PaymentStatus::Initiated;
            }
            PaymentEvent::Authorized(authorized) => {
                self.status = PaymentStatus::Authorized;
                self.provider_reference = Some(authorized.provider_reference.clone());
            }
            PaymentEvent::Captured(captured) => {
                self.status = PaymentStatus::Captured;
                self.provider_reference = Some(captured.provider_reference.clone());
                self.captured = captured.captured.amount;
            }
            PaymentEvent::Declined(declined) => {
                self.status = PaymentStatus::Declined;
                self.decline_reason = Some(declined.reason);
            }
            PaymentEvent::Unknown(_) => self.status = PaymentStatus::Unknown,
            PaymentEvent::Voided(_) => self.status = PaymentStatus::Voided,
            PaymentEvent::Refunded(refunded) => {
                self.status = refunded.status;
                self.refunded = refunded.refunded.amount;
                let reason = refunded.reason.clone();
                let refund = Refund { amount: refunded.amount, reason, settled: false, failure: None };
                self.refunds.insert(refunded.refund_id, refund);
            }
            PaymentEvent::RefundSettled(settled) => {
                if let Some(refund) = self.refunds.get_mut(&settled.refund_id) {
                    refund.settled = true;
                }
            }
            PaymentEvent::RefundFailed(failed) => {
                self.status = failed.status;
                self.refunded = failed.refunded.amount;
                if let Some(refund) = self.refunds.get_mut(&failed.refund_id) {
                    refund.failure = Some(failed.reason.clone());
                }
            }
            PaymentEvent::RefundResolved(resolved) => {
                self.status = resolved.status;
                self.refunded = resolved.refunded.amount;
                if let Some(refund) = self.refunds.get_mut(&resolved.refund_id) {
                    refund.settled = true;
                    refund.failure = None;
                }
            }
        }
    }

    /// Refunds' reasons as they are stored: whoever may see them puts them in the clear.
    fn answer(&self, meta: &StreamMeta) -> Option<Value> {
        serde_json::to_value(PaymentView::of(self, meta)?).ok()
    }
}
