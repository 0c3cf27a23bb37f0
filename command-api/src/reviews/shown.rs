//! A review as it is shown: the one shape for what commands and queries return.

use chrono::{DateTime, Utc};
use domain::event::serialize_wire_time;
use domain::personal::Sealed;
use domain::ports::keys::{KeyError, SubjectKeys};
use domain::reviews::review::{HideReason, ReviewStatus};
use domain::stream::StreamId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A review of a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// Its id.
    pub id: Uuid,
    /// The product.
    pub product_id: Uuid,
    /// Who wrote it; null for others than the author, support and admins.
    #[schema(required = true)]
    pub customer_id: Option<Uuid>,
    /// The order by which they bought the product; null for the same people.
    #[schema(required = true)]
    pub order_id: Option<Uuid>,
    /// 5 is best.
    #[schema(minimum = 1, maximum = 5)]
    pub rating: u8,
    /// What they say.
    pub text: String,
    /// Whether it is shown.
    pub status: ReviewStatus,
    /// Why support has hidden it, if it has.
    #[schema(required = true)]
    pub hidden_because: Option<HideReason>,
    /// The stream's version, as in `ETag`.
    pub version: u64,
    /// When it was written first.
    #[serde(serialize_with = "serialize_wire_time")]
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    #[serde(serialize_with = "serialize_wire_time")]
    pub updated_at: DateTime<Utc>,
}

impl Review {
    /// As others see it than the author and those who moderate.
    #[must_use]
    pub fn for_everybody(self) -> Self {
        Self { customer_id: None, order_id: None, ..self }
    }
}

/// The subject of a review's text: who wrote it.
#[must_use]
pub fn subject(tenant: &str, customer_id: Uuid) -> StreamId {
    StreamId::new(tenant, "user", customer_id)
}

/// A review's text in the clear; [`ERASED`](domain::personal::ERASED) when its author was erased.
///
/// # Errors
/// [`KeyError::Unavailable`], [`KeyError::Broken`].
pub async fn open(
    keys: &dyn SubjectKeys,
    tenant: &str,
    customer_id: Uuid,
    text: &Sealed,
) -> Result<String, KeyError> {
    let opened = keys.open(&subject(tenant, customer_id), &[text]).await?;
    opened.into_iter().next().ok_or(KeyError::Broken)
}
