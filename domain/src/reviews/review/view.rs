//! A review as commands and queries return it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{HideReason, Review, ReviewStatus};
use crate::aggregate::StreamMeta;
use crate::event::serialize_wire_time;
use crate::personal::Sealed;

/// A review of a product.
// With the text in the clear, or as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Review, bound = "")]
#[serde(deny_unknown_fields)]
pub struct ReviewView<T = String> {
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
    #[schema(value_type = String)]
    pub text: T,
    /// Whether it is shown.
    pub status: ReviewStatus,
    /// Why support has hidden it, if it has.
    #[schema(required = true)]
    pub hidden_because: Option<HideReason>,
    /// The stream's version, which `ETag` begins with.
    pub version: u64,
    /// When it was written first.
    #[serde(serialize_with = "serialize_wire_time")]
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    #[serde(serialize_with = "serialize_wire_time")]
    pub updated_at: DateTime<Utc>,
}

impl ReviewView<Sealed> {
    /// The review of a state in which something was said.
    pub(super) fn of(review: &Review, meta: &StreamMeta) -> Option<Self> {
        let said = review.said.as_ref()?;
        Some(Self {
            id: meta.stream.id().parse().ok()?,
            product_id: said.product_id,
            customer_id: Some(said.customer_id),
            order_id: Some(said.order_id),
            rating: said.rating,
            text: said.text.clone(),
            status: review.status(),
            hidden_because: review.hidden,
            version: meta.version,
            created_at: meta.created_at,
            updated_at: meta.updated_at,
        })
    }

    /// The review with its text in the clear.
    #[must_use]
    pub fn opened(self, text: String) -> ReviewView {
        ReviewView {
            id: self.id,
            product_id: self.product_id,
            customer_id: self.customer_id,
            order_id: self.order_id,
            rating: self.rating,
            text,
            status: self.status,
            hidden_because: self.hidden_because,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

impl ReviewView {
    /// As others see it than the author and those who moderate.
    #[must_use]
    pub fn for_everybody(self) -> Self {
        Self { customer_id: None, order_id: None, ..self }
    }
}
