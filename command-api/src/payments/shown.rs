//! Payments as they are shown. Reading an answer into its type proves that both agree: unknown fields are refused.

use chrono::{DateTime, Utc};
use domain::money::Money;
use domain::payments::payment::{DeclineReason, PaymentStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A refund of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refund {
    /// Its id.
    pub id: Uuid,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: String,
    /// It was paid back.
    pub settled: bool,
    /// What the provider said when it refused it for good, so that it doesn't count; null otherwise.
    #[schema(required = true)]
    pub failure: Option<String>,
}

/// A payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// Its id.
    pub id: Uuid,
    /// The order.
    pub order_id: Uuid,
    /// How far it has come.
    pub status: PaymentStatus,
    /// What is to be charged.
    pub amount: Money,
    /// What the provider took.
    pub captured: Money,
    /// The sum of refunds.
    pub refunded: Money,
    /// The refunds.
    pub refunds: Vec<Refund>,
    /// Why the provider declined; null otherwise.
    #[schema(required = true)]
    pub decline_reason: Option<DeclineReason>,
    /// The stream's version, as in `ETag`.
    pub version: u64,
    /// When it was initiated.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}
