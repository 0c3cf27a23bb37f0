//! Payments: one attempt to charge an order, and its refunds. Stream type `payment`.
//!
//! The provider's key is in the first event, decided before the provider is called. A refund counts from the moment it is
//! accepted (`payment.refunded`), so concurrent refunds never exceed the capture; `payment.refund_settled` follows once
//! the provider has paid it back, or `payment.refund_failed` when it refuses for good: then the amount is open again.

mod decide;
mod reason;
mod status;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

pub use self::decide::PaymentError;
pub use self::reason::RefundReason;
pub use self::view::{PaymentView, RefundView};
use crate::money::Money;
use crate::upcast::unchanged;

/// How far a payment has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// The provider's key is persisted; the provider may have been called.
    #[default]
    Initiated,
    /// The provider set the money aside and captures later.
    Authorized,
    /// The provider took the money.
    Captured,
    /// The provider refused.
    Declined,
    /// The provider's answer is missing.
    Unknown,
    /// Cancelled at the provider before capture: it will never be charged.
    Voided,
    /// Some of the capture went back.
    PartiallyRefunded,
    /// All of the capture went back.
    Refunded,
}

/// Why the provider declined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeclineReason {
    /// The issuer said no.
    Declined,
    /// Not enough money.
    InsufficientFunds,
    /// The provider doesn't know the method.
    UnknownMethod,
    /// The provider refused the call itself, for good: it never came to asking the issuer.
    Refused,
}

/// A command for a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaymentCommand {
    /// Opens it, with the provider's key.
    Initiate {
        /// The order.
        order_id: Uuid,
        /// The customer's user id.
        customer_id: Uuid,
        /// What is to be charged.
        amount: Money,
        /// The provider's token of the payment method.
        method: String,
        /// The key that makes repeated provider calls one charge.
        provider_key: String,
    },
    /// The provider set the money aside.
    RecordAuthorized {
        /// The provider's own id of the charge.
        provider_reference: String,
    },
    /// The provider took the money.
    RecordCaptured {
        /// The provider's own id of the charge.
        provider_reference: String,
    },
    /// The provider refused.
    RecordDeclined {
        /// Why.
        reason: DeclineReason,
    },
    /// The provider's answer is missing.
    RecordUnknown,
    /// The provider confirmed that it will never charge.
    RecordVoided,
    /// Gives money back.
    Refund {
        /// The refund's id; a repeat changes nothing.
        refund_id: Uuid,
        /// How much.
        amount: Money,
        /// Why, for people.
        reason: RefundReason,
    },
    /// The provider has paid a refund back.
    SettleRefund {
        /// The refund.
        refund_id: Uuid,
        /// The provider's own id of the refund.
        provider_reference: String,
    },
    /// The provider will never pay a refund back.
    FailRefund {
        /// The refund.
        refund_id: Uuid,
        /// What it said, for people.
        reason: String,
    },
    /// A refund was paid back in another way than by the provider, as a person says.
    ResolveRefund {
        /// The refund.
        refund_id: Uuid,
    },
}

/// `payment.initiated` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentInitiated {
    /// The order.
    pub order_id: Uuid,
    /// The customer's user id.
    pub customer_id: Uuid,
    /// What is to be charged.
    pub amount: Money,
    /// The provider's token of the payment method.
    pub method: String,
    /// The key that makes repeated provider calls one charge.
    pub provider_key: String,
}

/// `payment.authorized` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentAuthorized {
    /// The order.
    pub order_id: Uuid,
    /// The provider's own id of the charge.
    pub provider_reference: String,
}

/// `payment.captured` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentCaptured {
    /// The order.
    pub order_id: Uuid,
    /// What the provider took.
    pub captured: Money,
    /// The provider's own id of the charge.
    pub provider_reference: String,
}

/// `payment.declined` 2: version 1 didn't know the reason `refused`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentDeclined {
    /// The order.
    pub order_id: Uuid,
    /// Why.
    pub reason: DeclineReason,
}

/// `payment.unknown` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentBecameUnknown {
    /// The order.
    pub order_id: Uuid,
}

/// `payment.voided` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentVoided {
    /// The order.
    pub order_id: Uuid,
}

/// `payment.refunded` 2: a refund was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRefunded {
    /// The order.
    pub order_id: Uuid,
    /// The refund; also its key at the provider.
    pub refund_id: Uuid,
    /// This refund.
    pub amount: Money,
    /// Why, for people.
    pub reason: RefundReason,
    /// The sum of all refunds from now on.
    pub refunded: Money,
    /// `partially_refunded` or `refunded`.
    pub status: PaymentStatus,
}

/// `payment.refund_settled` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRefundSettled {
    /// The order.
    pub order_id: Uuid,
    /// The refund.
    pub refund_id: Uuid,
    /// The provider's own id of the refund.
    pub provider_reference: String,
}

/// `payment.refund_failed` 1: the provider refused it for good, so its amount is open again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRefundFailed {
    /// The order.
    pub order_id: Uuid,
    /// The refund.
    pub refund_id: Uuid,
    /// What didn't go back.
    pub amount: Money,
    /// What the provider said, for people.
    pub reason: String,
    /// The sum of all refunds from now on.
    pub refunded: Money,
    /// `captured` or `partially_refunded`.
    pub status: PaymentStatus,
}

/// `payment.refund_resolved` 1: it was paid back in another way, or after all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRefundResolved {
    /// The order.
    pub order_id: Uuid,
    /// The refund.
    pub refund_id: Uuid,
    /// This refund.
    pub amount: Money,
    /// The sum of all refunds from now on.
    pub refunded: Money,
    /// `partially_refunded` or `refunded`.
    pub status: PaymentStatus,
}

/// Version 1 had every reason in the clear.
fn refunded_1(mut payload: Value) -> Value {
    if let Some(reason) = payload.get_mut("reason").filter(|reason| reason.is_string()) {
        *reason = json!({"plain": reason.take()});
    }
    payload
}

crate::events! {
    /// What can happen to a payment.
    pub enum PaymentEvent {
        /// It was opened with the provider's key.
        "payment.initiated" 1 => Initiated(PaymentInitiated),
        /// The provider set the money aside.
        "payment.authorized" 1 => Authorized(PaymentAuthorized),
        /// The provider took the money.
        "payment.captured" 1 => Captured(PaymentCaptured),
        /// The provider refused.
        "payment.declined" 2 upcast(unchanged) => Declined(PaymentDeclined),
        /// The provider's answer is missing.
        "payment.unknown" 1 => Unknown(PaymentBecameUnknown),
        /// It will never be charged.
        "payment.voided" 1 => Voided(PaymentVoided),
        /// A refund was accepted.
        "payment.refunded" 2 upcast(refunded_1) => Refunded(PaymentRefunded),
        /// The provider has paid a refund back.
        "payment.refund_settled" 1 => RefundSettled(PaymentRefundSettled),
        /// The provider refused a refund for good.
        "payment.refund_failed" 1 => RefundFailed(PaymentRefundFailed),
        /// A refund was paid back in another way.
        "payment.refund_resolved" 1 => RefundResolved(PaymentRefundResolved),
    }
}

/// A refund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// How much.
    pub amount: Money,
    /// Why, for people.
    pub reason: RefundReason,
    /// It was paid back.
    pub settled: bool,
    /// What the provider said when it refused it for good: it doesn't count.
    pub failure: Option<String>,
}

/// A payment's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// As initiated; `None` before.
    pub initiated: Option<PaymentInitiated>,
    /// How far it has come.
    pub status: PaymentStatus,
    /// The provider's own id of the charge.
    pub provider_reference: Option<String>,
    /// Why the provider declined.
    pub decline_reason: Option<DeclineReason>,
    /// What the provider took, in minor units of the payment's currency.
    pub captured: i64,
    /// The sum of accepted refunds that haven't failed, in minor units.
    pub refunded: i64,
    /// The refunds by id.
    pub refunds: BTreeMap<Uuid, Refund>,
}
