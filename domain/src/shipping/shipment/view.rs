//! A shipment as commands and queries return it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Shipment, ShipmentStatus};
use crate::aggregate::StreamMeta;
use crate::event::serialize_wire_time;

/// A shipment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Shipment)]
#[serde(deny_unknown_fields)]
pub struct ShipmentView {
    /// Its id.
    pub id: Uuid,
    /// The order.
    pub order_id: Uuid,
    /// The customer's user id.
    #[serde(skip)]
    pub customer_id: Uuid,
    /// How far it has come.
    pub status: ShipmentStatus,
    /// The carrier's own id; null until booked.
    #[schema(required = true)]
    pub carrier_reference: Option<String>,
    /// The stream's version, as in `ETag`.
    pub version: u64,
    /// When it was requested.
    #[serde(serialize_with = "serialize_wire_time")]
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    #[serde(serialize_with = "serialize_wire_time")]
    pub updated_at: DateTime<Utc>,
}

impl ShipmentView {
    /// The shipment of a state that has been requested.
    pub(super) fn of(shipment: &Shipment, meta: &StreamMeta) -> Option<Self> {
        let requested = shipment.requested.as_ref()?;
        Some(Self {
            id: meta.stream.id().parse().ok()?,
            order_id: requested.order_id,
            customer_id: requested.customer_id,
            status: shipment.status,
            carrier_reference: shipment.carrier_reference.clone(),
            version: meta.version,
            created_at: meta.created_at,
            updated_at: meta.updated_at,
        })
    }
}
