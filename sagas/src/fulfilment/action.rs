//! What a step does, as data, and what came of it. Both are stored in the saga's events.

use domain::Timestamp;
use domain::command::Step;
use domain::inventory::InventoryCommand;
use domain::money::Money;
use domain::ordering::order::{EndReason, OrderCommand, ShippingAddress};
use domain::payments::payment::{DeclineReason, PaymentCommand};
use domain::shipping::shipment::ShipmentCommand;
use domain::stream::StreamId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::engine::work::Lane;
use crate::fulfilment::lanes;
use crate::fulfilment::ports::{Charge, VoidOutcome};

/// What a step does. All but the calls of provider and carrier are commands on aggregates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are those of the command or call that each variant names")]
pub enum Action {
    /// [`InventoryCommand::Reserve`].
    Reserve { product_id: Uuid, line: u32, quantity: u32, expires_at: Timestamp },
    /// [`InventoryCommand::Release`].
    Release { product_id: Uuid, line: u32, reason: EndReason },
    /// [`InventoryCommand::Withdraw`].
    Withdraw { product_id: Uuid, line: u32, reason: EndReason, expires_at: Timestamp },
    /// [`InventoryCommand::Commit`].
    Commit { product_id: Uuid, line: u32 },
    /// [`OrderCommand::ConfirmStock`].
    ConfirmStock,
    /// [`PaymentCommand::Initiate`].
    InitiatePayment {
        payment_id: Uuid,
        customer_id: Uuid,
        amount: Money,
        method: String,
        provider_key: String,
    },
    /// [`crate::fulfilment::ports::PaymentProvider::charge`].
    Charge { payment_id: Uuid, amount: Money, method: String, provider_key: String },
    /// [`crate::fulfilment::ports::PaymentProvider::lookup`].
    Lookup { provider_key: String },
    /// [`crate::fulfilment::ports::PaymentProvider::void`].
    Void { provider_key: String },
    /// [`PaymentCommand::RecordAuthorized`].
    RecordAuthorized { payment_id: Uuid, provider_reference: String },
    /// [`PaymentCommand::RecordCaptured`].
    RecordCaptured { payment_id: Uuid, provider_reference: String },
    /// [`PaymentCommand::RecordDeclined`].
    RecordDeclined { payment_id: Uuid, reason: DeclineReason },
    /// [`PaymentCommand::RecordUnknown`].
    RecordUnknown { payment_id: Uuid },
    /// [`PaymentCommand::RecordVoided`].
    RecordVoided { payment_id: Uuid },
    /// [`OrderCommand::MarkPaymentUnknown`].
    MarkPaymentUnknown { payment_id: Uuid },
    /// [`PaymentCommand::Refund`] of what is left of the capture when the command is sent.
    RefundPayment { payment_id: Uuid, refund_id: Uuid, reason: EndReason },
    /// [`PaymentCommand::ResolveRefund`].
    ResolveRefund { payment_id: Uuid, refund_id: Uuid },
    /// [`PaymentCommand::FailRefund`].
    FailRefund { payment_id: Uuid, refund_id: Uuid },
    /// [`ShipmentCommand::Request`].
    RequestShipment { shipment_id: Uuid, customer_id: Uuid, address: ShippingAddress, carrier_key: String },
    /// [`crate::fulfilment::ports::Carrier::book`].
    BookCarrier { shipment_id: Uuid, country: String, carrier_key: String },
    /// [`ShipmentCommand::RecordCreated`].
    RecordShipmentCreated { shipment_id: Uuid, carrier_reference: String },
    /// [`ShipmentCommand::RecordFailed`].
    RecordShipmentFailed { shipment_id: Uuid, reason: String },
    /// [`OrderCommand::ConfirmPayment`].
    ConfirmPayment { payment_id: Uuid, shipment_id: Uuid },
    /// [`ShipmentCommand::Cancel`].
    CancelShipment { shipment_id: Uuid },
    /// [`crate::fulfilment::ports::Carrier::cancel`].
    CancelCarrier { carrier_key: String },
    /// [`OrderCommand::MarkShipped`].
    MarkShipped { shipment_id: Uuid },
    /// [`OrderCommand::MarkDelivered`].
    MarkDelivered,
    /// [`OrderCommand::Complete`].
    Complete,
    /// [`OrderCommand::Reject`].
    Reject { reason: EndReason },
    /// [`OrderCommand::Cancel`].
    Cancel { reason: EndReason },
    /// [`OrderCommand::RefuseCancellation`].
    RefuseCancellation,
}

/// The reason of a refund's failure that a person decided; theirs is in the saga's event.
const GIVEN_UP: &str = "given up by a person";

impl Action {
    /// Whose capacity it takes.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self {
            Self::Charge { .. } | Self::Lookup { .. } | Self::Void { .. } => lanes::PAYMENTS,
            Self::BookCarrier { .. } | Self::CancelCarrier { .. } => lanes::CARRIER,
            _ => lanes::COMMANDS,
        }
    }

    /// The command that it is; `None` for a call of provider or carrier, and for a refund, whose amount is read first.
    #[must_use]
    pub fn command(&self, tenant: &str, order_id: Uuid) -> Option<Step> {
        let order = |command| Step::new(StreamId::new(tenant, "order", order_id), command);
        let stock = |id: &Uuid, command| Step::new(StreamId::new(tenant, "inventory", id), command);
        let payment = |id: &Uuid, command| Step::new(StreamId::new(tenant, "payment", id), command);
        let shipment = |id: &Uuid, command| Step::new(StreamId::new(tenant, "shipment", id), command);
        Some(match self.clone() {
            Self::Reserve { product_id, line, quantity, expires_at } => {
                stock(&product_id, InventoryCommand::Reserve { order_id, line, quantity, expires_at })
            }
            Self::Release { product_id, line, reason } => {
                let reason = reason.as_str().to_owned();
                stock(&product_id, InventoryCommand::Release { order_id, line, reason })
            }
            Self::Withdraw { product_id, line, reason, expires_at } => {
                let reason = reason.as_str().to_owned();
                stock(&product_id, InventoryCommand::Withdraw { order_id, line, reason, expires_at })
            }
            Self::Commit { product_id, line } => {
                stock(&product_id, InventoryCommand::Commit { order_id, line })
            }
            Self::ConfirmStock => order(OrderCommand::ConfirmStock),
            Self::InitiatePayment { payment_id, customer_id, amount, method, provider_key } => payment(
                &payment_id,
                PaymentCommand::Initiate { order_id, customer_id, amount, method, provider_key },
            ),
            Self::RecordAuthorized { payment_id, provider_reference } => {
                payment(&payment_id, PaymentCommand::RecordAuthorized { provider_reference })
            }
            Self::RecordCaptured { payment_id, provider_reference } => {
                payment(&payment_id, PaymentCommand::RecordCaptured { provider_reference })
            }
            Self::RecordDeclined { payment_id, reason } => {
                payment(&payment_id, PaymentCommand::RecordDeclined { reason })
            }
            Self::RecordUnknown { payment_id } => payment(&payment_id, PaymentCommand::RecordUnknown),
            Self::RecordVoided { payment_id } => payment(&payment_id, PaymentCommand::RecordVoided),
            Self::MarkPaymentUnknown { payment_id } => order(OrderCommand::MarkPaymentUnknown { payment_id }),
            Self::RequestShipment { shipment_id, customer_id, address, carrier_key } => shipment(
                &shipment_id,
                ShipmentCommand::Request { order_id, customer_id, address, carrier_key },
            ),
            Self::RecordShipmentCreated { shipment_id, carrier_reference } => {
                shipment(&shipment_id, ShipmentCommand::RecordCreated { carrier_reference })
            }
            Self::RecordShipmentFailed { shipment_id, reason } => {
                shipment(&shipment_id, ShipmentCommand::RecordFailed { reason })
            }
            Self::ConfirmPayment { payment_id, shipment_id } => {
                order(OrderCommand::ConfirmPayment { payment_id, shipment_id })
            }
            Self::CancelShipment { shipment_id } => shipment(&shipment_id, ShipmentCommand::Cancel),
            Self::MarkShipped { shipment_id } => order(OrderCommand::MarkShipped { shipment_id }),
            Self::MarkDelivered => order(OrderCommand::MarkDelivered),
            Self::Complete => order(OrderCommand::Complete),
            Self::Reject { reason } => order(OrderCommand::Reject { reason }),
            Self::Cancel { reason } => order(OrderCommand::Cancel { reason }),
            Self::RefuseCancellation => order(OrderCommand::RefuseCancellation),
            Self::ResolveRefund { payment_id, refund_id } => {
                payment(&payment_id, PaymentCommand::ResolveRefund { refund_id })
            }
            Self::FailRefund { payment_id, refund_id } => {
                let reason = GIVEN_UP.to_owned();
                payment(&payment_id, PaymentCommand::FailRefund { refund_id, reason })
            }
            Self::Charge { .. }
            | Self::Lookup { .. }
            | Self::Void { .. }
            | Self::RefundPayment { .. }
            | Self::BookCarrier { .. }
            | Self::CancelCarrier { .. } => return None,
        })
    }
}

/// What the provider said of the charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeResult {
    /// It didn't say: the call timed out.
    Unknown,
    /// It has no such charge so far.
    NotFound,
    /// The money is set aside.
    Authorized {
        /// The provider's own id of the charge.
        provider_reference: String,
    },
    /// It refused.
    Declined {
        /// Why.
        reason: DeclineReason,
    },
    /// It refused the call itself, for good.
    Refused {
        /// Why, for people.
        reason: String,
    },
    /// It will never charge.
    Voided,
    /// It took the money.
    Captured {
        /// The provider's own id of the charge.
        provider_reference: String,
    },
}

impl From<Charge> for ChargeResult {
    fn from(charge: Charge) -> Self {
        match charge {
            Charge::Captured { reference } => Self::Captured { provider_reference: reference },
            Charge::Authorized { reference } => Self::Authorized { provider_reference: reference },
            Charge::Declined(reason) => Self::Declined { reason },
            Charge::Voided => Self::Voided,
        }
    }
}

impl From<VoidOutcome> for ChargeResult {
    fn from(outcome: VoidOutcome) -> Self {
        match outcome {
            VoidOutcome::Voided => Self::Voided,
            VoidOutcome::AlreadyCaptured { reference } => Self::Captured { provider_reference: reference },
        }
    }
}

/// What came of a step's attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The aggregate or the carrier accepted it.
    Accepted,
    /// The aggregate refused it.
    Refused {
        /// The refusal's stable code.
        code: String,
    },
    /// The provider's word on the charge.
    Charge(ChargeResult),
    /// The carrier booked it.
    Booked {
        /// The carrier's own id.
        carrier_reference: String,
    },
    /// The carrier refused it.
    BookingRefused {
        /// Why, for people.
        reason: String,
    },
    /// Everything had been given back before.
    NothingToRefund,
    /// The provider or the carrier refused the call, for good.
    CallRefused {
        /// Why, for people.
        reason: String,
    },
}
