//! Shipments as they are shown. Reading an answer into its type proves that both agree: unknown fields are refused.

use chrono::{DateTime, Utc};
use domain::shipping::shipment::ShipmentStatus;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A shipment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Shipment {
    /// Its id.
    pub id: Uuid,
    /// The order.
    pub order_id: Uuid,
    /// How far it has come.
    pub status: ShipmentStatus,
    /// The carrier's own id; null until booked.
    #[schema(required = true)]
    pub carrier_reference: Option<String>,
    /// The stream's version, as in `ETag`.
    pub version: u64,
    /// When it was requested.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}
