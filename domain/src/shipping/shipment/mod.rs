//! Shipments: how an order travels. Stream type `shipment`.

mod view;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

pub use self::view::ShipmentView;
use crate::aggregate::{Aggregate, DecisionContext, StreamMeta};
use crate::names::wire_names;
use crate::ordering::order::ShippingAddress;
use crate::refusal::{DomainError, RefusalKind};

/// How far a shipment has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
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

wire_names!(ShipmentStatus, "a shipment status", {
    Requested => "requested",
    Created => "created",
    Failed => "failed",
    Cancelled => "cancelled",
    Dispatched => "dispatched",
    Delivered => "delivered",
});

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

/// Why a command for a shipment is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShipmentError {
    /// It was requested before, for another order or with another key.
    #[error("the shipment exists already")]
    Exists,
    /// It was never requested.
    #[error("there is no such shipment")]
    NotFound,
    /// It has left: too late to call it off.
    #[error("the shipment has left the warehouse and can't be cancelled any more")]
    Dispatched,
    /// Its status doesn't allow the step.
    #[error("a shipment that is {from} can't become {to}")]
    IllegalTransition {
        /// The status that it has.
        from: ShipmentStatus,
        /// The status that was asked for.
        to: ShipmentStatus,
    },
    /// Everything was given back before it left, so it stays.
    #[error("the order's payment was refunded in full, so its shipment is called off")]
    Refunded,
    /// The carrier booked it twice.
    #[error("the carrier booked the shipment before, under another reference")]
    OtherReference,
}

impl DomainError for ShipmentError {
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotFound => RefusalKind::NotFound,
            _ => RefusalKind::Conflict,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Exists => "shipment-exists",
            Self::NotFound => "shipment-not-found",
            Self::Dispatched => "shipment-dispatched",
            Self::IllegalTransition { .. } => "illegal-transition",
            Self::Refunded => "shipment-refunded",
            Self::OtherReference => "carrier-reference-mismatch",
        }
    }
}

crate::cqrs_aggregate!(Shipment, "shipment", ShipmentCommand, ShipmentEvent, ShipmentError);

impl Shipment {
    fn request(&self, wanted: ShipmentRequested) -> Result<Vec<ShipmentEvent>, ShipmentError> {
        match &self.requested {
            None => Ok(vec![ShipmentEvent::Requested(wanted)]),
            // The carrier's key is the request's identity; resealed fields of a repeat may differ.
            Some(known) if known.order_id == wanted.order_id && known.carrier_key == wanted.carrier_key => {
                Ok(Vec::new())
            }
            Some(_) => Err(ShipmentError::Exists),
        }
    }
}

impl Aggregate for Shipment {
    fn decide(
        &self,
        command: &ShipmentCommand,
        _context: &DecisionContext,
    ) -> Result<Vec<ShipmentEvent>, ShipmentError> {
        use ShipmentStatus::{Cancelled, Created, Delivered, Dispatched, Failed, Requested};
        if let ShipmentCommand::Request { order_id, customer_id, address, carrier_key } = command {
            return self.request(ShipmentRequested {
                order_id: *order_id,
                customer_id: *customer_id,
                address: address.clone(),
                carrier_key: carrier_key.clone(),
            });
        }
        let order_id = self.requested.as_ref().ok_or(ShipmentError::NotFound)?.order_id;
        let illegal = |to| Err(ShipmentError::IllegalTransition { from: self.status, to });
        let event = match (command, self.status) {
            // Answered above.
            (ShipmentCommand::Request { .. }, _) => return Ok(Vec::new()),
            (ShipmentCommand::RecordCreated { carrier_reference }, Requested) => {
                ShipmentEvent::Created(ShipmentCreated {
                    order_id,
                    carrier_reference: carrier_reference.clone(),
                })
            }
            (ShipmentCommand::RecordCreated { carrier_reference }, _) => match &self.carrier_reference {
                Some(known) if known == carrier_reference => return Ok(Vec::new()),
                Some(_) => return Err(ShipmentError::OtherReference),
                None => return illegal(Created),
            },
            (ShipmentCommand::RecordFailed { reason }, Requested) => {
                ShipmentEvent::Failed(ShipmentFailed { order_id, reason: reason.clone() })
            }
            (ShipmentCommand::RecordFailed { .. }, Failed) => return Ok(Vec::new()),
            (ShipmentCommand::RecordFailed { .. }, _) => return illegal(Failed),
            (ShipmentCommand::Cancel, Requested | Created) => {
                ShipmentEvent::Cancelled(ShipmentCancelled { order_id })
            }
            (ShipmentCommand::Cancel, Cancelled | Failed) => return Ok(Vec::new()),
            (ShipmentCommand::Cancel, Dispatched | Delivered) => return Err(ShipmentError::Dispatched),
            (ShipmentCommand::Dispatch, Created) => {
                ShipmentEvent::Dispatched(ShipmentDispatched { order_id })
            }
            (ShipmentCommand::Dispatch, Dispatched | Delivered) => return Ok(Vec::new()),
            (ShipmentCommand::Dispatch, _) => return illegal(Dispatched),
            (ShipmentCommand::Deliver, Dispatched) => {
                ShipmentEvent::Delivered(ShipmentDelivered { order_id })
            }
            (ShipmentCommand::Deliver, Delivered) => return Ok(Vec::new()),
            (ShipmentCommand::Deliver, _) => return illegal(Delivered),
        };
        Ok(vec![event])
    }

    fn evolve(&mut self, event: &ShipmentEvent) {
        self.status = match event {
            ShipmentEvent::Requested(requested) => {
                self.requested = Some(requested.clone());
                ShipmentStatus::Requested
            }
            ShipmentEvent::Created(created) => {
                self.carrier_reference = Some(created.carrier_reference.clone());
                ShipmentStatus::Created
            }
            ShipmentEvent::Failed(_) => ShipmentStatus::Failed,
            ShipmentEvent::Cancelled(_) => ShipmentStatus::Cancelled,
            ShipmentEvent::Dispatched(_) => ShipmentStatus::Dispatched,
            ShipmentEvent::Delivered(_) => ShipmentStatus::Delivered,
        };
    }

    fn answer(&self, meta: &StreamMeta) -> Option<Value> {
        serde_json::to_value(ShipmentView::of(self, meta)?).ok()
    }
}

#[cfg(test)]
mod tests;
