//! Shipments: how an order travels. Stream type `shipment`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::aggregate::{Aggregate, DecisionContext, StreamMeta};
use crate::refusal::{DomainError, RefusalKind};
use crate::shop::order::ShippingAddress;

/// How far a shipment has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShipmentStatus {
    /// The carrier's key is persisted; the carrier may have been called.
    #[default]
    Requested,
    /// The carrier booked it; it waits in the warehouse.
    Created,
    /// The carrier refused it.
    Failed,
    /// Called off before dispatch.
    Cancelled,
    /// It has left the warehouse.
    Dispatched,
    /// The customer has it.
    Delivered,
}

/// A command for a shipment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShipmentCommand {
    /// Opens it, with the carrier's key.
    Request {
        /// The order.
        order_id: Uuid,
        /// The customer's user id: the subject of the sealed fields.
        customer_id: Uuid,
        /// Where to.
        address: ShippingAddress,
        /// The key that makes repeated carrier calls one booking.
        carrier_key: String,
    },
    /// The carrier booked it.
    RecordCreated {
        /// The carrier's own id.
        carrier_reference: String,
    },
    /// The carrier refused it.
    RecordFailed {
        /// Why, for people.
        reason: String,
    },
    /// Calls it off; refused once it has left.
    Cancel,
    /// The warehouse hands it over.
    Dispatch,
    /// The customer has it.
    Deliver,
}

/// `shipment.requested` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipmentRequested {
    /// The order.
    pub order_id: Uuid,
    /// The customer's user id: the subject of the sealed fields.
    pub customer_id: Uuid,
    /// Where to.
    pub address: ShippingAddress,
    /// The key that makes repeated carrier calls one booking.
    pub carrier_key: String,
}

/// `shipment.created` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipmentCreated {
    /// The order.
    pub order_id: Uuid,
    /// The carrier's own id.
    pub carrier_reference: String,
}

/// `shipment.failed` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipmentFailed {
    /// The order.
    pub order_id: Uuid,
    /// Why, for people.
    pub reason: String,
}

/// `shipment.cancelled` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipmentCancelled {
    /// The order.
    pub order_id: Uuid,
}

/// `shipment.dispatched` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipmentDispatched {
    /// The order.
    pub order_id: Uuid,
}

/// `shipment.delivered` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipmentDelivered {
    /// The order.
    pub order_id: Uuid,
}

crate::events! {
    /// What can happen to a shipment.
    pub enum ShipmentEvent {
        /// It was opened with the carrier's key.
        "shipment.requested" 1 => Requested(ShipmentRequested),
        /// The carrier booked it.
        "shipment.created" 1 => Created(ShipmentCreated),
        /// The carrier refused it.
        "shipment.failed" 1 => Failed(ShipmentFailed),
        /// It was called off before dispatch.
        "shipment.cancelled" 1 => Cancelled(ShipmentCancelled),
        /// It has left the warehouse.
        "shipment.dispatched" 1 => Dispatched(ShipmentDispatched),
        /// The customer has it.
        "shipment.delivered" 1 => Delivered(ShipmentDelivered),
    }
}

/// A shipment's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipment {
    /// As requested; `None` before.
    pub requested: Option<ShipmentRequested>,
    /// How far it has come.
    pub status: ShipmentStatus,
    /// The carrier's own id.
    pub carrier_reference: Option<String>,
}
