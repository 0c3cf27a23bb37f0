//! A payment as commands and queries return it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{DeclineReason, Payment, PaymentStatus, RefundReason};
use crate::aggregate::StreamMeta;
use crate::event::serialize_wire_time;
use crate::money::Money;

/// A refund of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Refund, bound = "")]
#[serde(deny_unknown_fields)]
pub struct RefundView<R = String> {
    /// Its id.
    pub id: Uuid,
    /// How much.
    pub amount: Money,
    /// Why.
    #[schema(value_type = String)]
    pub reason: R,
    /// It was paid back.
    pub settled: bool,
    /// What the provider said when it refused it for good, so that it doesn't count; null otherwise.
    #[schema(required = true)]
    pub failure: Option<String>,
}

/// A payment.
// With the reasons of its refunds in the clear, or as they are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Payment, bound = "")]
#[serde(deny_unknown_fields)]
pub struct PaymentView<R = String> {
    /// Its id.
    pub id: Uuid,
    /// The order.
    pub order_id: Uuid,
    /// The customer's user id: the subject of the reasons.
    #[serde(skip)]
    pub customer_id: Uuid,
    /// How far it has come.
    pub status: PaymentStatus,
    /// What is to be charged.
    pub amount: Money,
    /// What the provider took.
    pub captured: Money,
    /// The sum of refunds.
    pub refunded: Money,
    /// The refunds.
    #[schema(value_type = Vec<RefundView>)]
    pub refunds: Vec<RefundView<R>>,
    /// Why the provider declined; null otherwise.
    #[schema(required = true)]
    pub decline_reason: Option<DeclineReason>,
    /// The stream's version, as in `ETag`.
    pub version: u64,
    /// When it was initiated.
    #[serde(serialize_with = "serialize_wire_time")]
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    #[serde(serialize_with = "serialize_wire_time")]
    pub updated_at: DateTime<Utc>,
}

impl PaymentView<RefundReason> {
    /// The payment of a state that has been initiated.
    pub(super) fn of(payment: &Payment, meta: &StreamMeta) -> Option<Self> {
        let initiated = payment.initiated.as_ref()?;
        let money = |amount| Money::new(amount, initiated.amount.currency);
        let refunds = payment.refunds.iter().map(|(id, refund)| RefundView {
            id: *id,
            amount: refund.amount,
            reason: refund.reason.clone(),
            settled: refund.settled,
            failure: refund.failure.clone(),
        });
        Some(Self {
            id: meta.stream.id().parse().ok()?,
            order_id: initiated.order_id,
            customer_id: initiated.customer_id,
            status: payment.status,
            amount: initiated.amount,
            captured: money(payment.captured),
            refunded: money(payment.refunded),
            refunds: refunds.collect(),
            decline_reason: payment.decline_reason,
            version: meta.version,
            created_at: meta.created_at,
            updated_at: meta.updated_at,
        })
    }

    /// The payment with the reasons of its refunds in the clear, in the same order; `None` unless there is one for each.
    #[must_use]
    pub fn opened(self, reasons: Vec<String>) -> Option<PaymentView> {
        if self.refunds.len() != reasons.len() {
            return None;
        }
        let refunds = self.refunds.into_iter().zip(reasons).map(|(refund, reason)| RefundView {
            id: refund.id,
            amount: refund.amount,
            reason,
            settled: refund.settled,
            failure: refund.failure,
        });
        Some(PaymentView {
            id: self.id,
            order_id: self.order_id,
            customer_id: self.customer_id,
            status: self.status,
            amount: self.amount,
            captured: self.captured,
            refunded: self.refunded,
            refunds: refunds.collect(),
            decline_reason: self.decline_reason,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}
