//! Orders: what a customer bought, and how far it has come. Stream type `order`.

mod decide;
pub mod parts;
mod status;
#[cfg(test)]
mod tests;
mod view;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

pub use self::decide::OrderError;
pub use self::view::{OrderItem, OrderPayment, OrderShipment, OrderView};
use crate::money::Money;
use crate::personal::Sealed;
use crate::upcast::unchanged;

/// The most lines an order may have.
pub const MAX_LINES: usize = 100;
/// The most pieces a line may have.
pub const MAX_QUANTITY: u32 = 1_000_000;

/// How far an order has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Placed; the saga runs.
    #[default]
    Pending,
    /// Every line's stock is reserved.
    StockReserved,
    /// The provider's answer is missing; the saga reconciles.
    PaymentUnknown,
    /// Captured, and a shipment exists.
    Paid,
    /// On its way.
    Shipped,
    /// With the customer.
    Delivered,
    /// The saga has ended.
    Completed,
    /// Not fulfilled: nothing was charged.
    Rejected,
    /// Not fulfilled: everything done was undone.
    Cancelled,
}

/// Why an order ended without fulfilment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// A line couldn't be reserved.
    OutOfStock,
    /// The provider declined.
    PaymentDeclined,
    /// The provider never charged in time.
    PaymentTimeout,
    /// The carrier refused.
    ShipmentFailed,
    /// The customer asked for it.
    CustomerRequest,
    /// Screening refused it.
    Fraud,
}

/// One line of an order, with the price at the time of ordering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// Its number, from 1.
    pub line: u32,
    /// The product.
    pub product_id: Uuid,
    /// The version of the product's stream that name and price were read at.
    pub product_version: u64,
    /// The product's article number then.
    pub sku: String,
    /// The product's name then.
    pub name: String,
    /// Pieces.
    pub quantity: u32,
    /// The price of one.
    pub unit_price: Money,
    /// The price of the line.
    pub line_total: Money,
}

/// Where to ship to; all but the country is personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShippingAddress {
    /// The recipient.
    pub name: Sealed,
    /// Street and number.
    pub line1: Sealed,
    /// Town.
    pub city: Sealed,
    /// Postal code.
    pub postal_code: Sealed,
    /// ISO 3166-1 alpha-2 code.
    pub country: String,
}

/// A line as the customer asked for it, joined with the product as its owner answered it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedLine {
    /// The product.
    pub product_id: Uuid,
    /// The version of the product's stream that name and price were read at.
    pub product_version: u64,
    /// The product's article number.
    pub sku: String,
    /// The product's name.
    pub name: String,
    /// Pieces.
    pub quantity: u32,
    /// The price of one.
    pub unit_price: Money,
}

/// A command for an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderCommand {
    /// Places it.
    Place {
        /// The customer's user id.
        customer_id: Uuid,
        /// What is bought.
        lines: Vec<RequestedLine>,
        /// The provider's token of the payment method.
        payment_method: String,
        /// Where to ship to.
        shipping_address: ShippingAddress,
        /// What its payment and its shipment will be called.
        #[serde(default)]
        parts: Option<OrderParts>,
    },
    /// The saga: every line's stock is reserved.
    ConfirmStock,
    /// The saga: the provider's answer is missing.
    MarkPaymentUnknown {
        /// The payment.
        payment_id: Uuid,
    },
    /// The saga: captured, and the shipment exists.
    ConfirmPayment {
        /// The payment.
        payment_id: Uuid,
        /// The shipment.
        shipment_id: Uuid,
    },
    /// The saga: the shipment was dispatched.
    MarkShipped {
        /// The shipment.
        shipment_id: Uuid,
    },
    /// The saga: the shipment was delivered.
    MarkDelivered,
    /// The saga has ended well.
    Complete,
    /// The saga: a line couldn't be reserved, and nothing was charged.
    Reject {
        /// Why.
        reason: EndReason,
    },
    /// The customer, or somebody for them, wants it cancelled; the saga undoes what was done.
    RequestCancellation,
    /// The saga: cancelling came too late, the shipment has left.
    RefuseCancellation,
    /// The saga: everything done was undone.
    Cancel {
        /// Why.
        reason: EndReason,
    },
}

/// The payment and the shipment of an order whose streams share its shard, as those of its fulfilment do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderParts {
    /// The payment.
    pub payment_id: Uuid,
    /// The shipment.
    pub shipment_id: Uuid,
}

/// `order.placed` 2: version 1 had no parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPlaced {
    /// The customer's user id: the subject of the sealed fields.
    pub customer_id: Uuid,
    /// What was bought.
    pub lines: Vec<OrderLine>,
    /// The price of all lines.
    pub total: Money,
    /// The provider's token of the payment method.
    pub payment_method: String,
    /// Where to ship to.
    pub shipping_address: ShippingAddress,
    /// What its payment and its shipment will be called, when they share its shard; `None` of an older order, whose streams lie anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<OrderParts>,
}

impl OrderPlaced {
    /// The payment of this order.
    #[must_use]
    pub fn payment_id(&self, order_id: Uuid) -> Uuid {
        self.parts.map_or_else(|| parts::payment_id(order_id, 1), |parts| parts.payment_id)
    }

    /// The shipment of this order.
    #[must_use]
    pub fn shipment_id(&self, order_id: Uuid) -> Uuid {
        self.parts.map_or_else(|| parts::shipment_id(order_id, 1), |parts| parts.shipment_id)
    }
}

/// `order.stock_reserved` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderStockReserved {}

/// `order.payment_unknown` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPaymentUnknown {
    /// The payment.
    pub payment_id: Uuid,
}

/// `order.paid` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPaid {
    /// The payment.
    pub payment_id: Uuid,
    /// The shipment.
    pub shipment_id: Uuid,
}

/// `order.shipped` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderShipped {
    /// The shipment.
    pub shipment_id: Uuid,
}

/// `order.delivered` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderDelivered {}

/// `order.completed` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCompleted {}

/// `order.rejected` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRejected {
    /// Why.
    pub reason: EndReason,
}

/// `order.cancellation_requested` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCancellationRequested {}

/// `order.cancellation_refused` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCancellationRefused {}

/// `order.cancelled` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCancelled {
    /// Why.
    pub reason: EndReason,
}

crate::events! {
    /// What can happen to an order.
    #[expect(clippy::large_enum_variant, reason = "one is made for every order, and soon gone")]
    pub enum OrderEvent {
        /// The customer placed it.
        "order.placed" 2 upcast(unchanged) => Placed(OrderPlaced),
        /// Every line's stock is reserved.
        "order.stock_reserved" 1 => StockReserved(OrderStockReserved),
        /// The provider's answer is missing.
        "order.payment_unknown" 1 => PaymentUnknown(OrderPaymentUnknown),
        /// Captured, and a shipment exists.
        "order.paid" 1 => Paid(OrderPaid),
        /// On its way.
        "order.shipped" 1 => Shipped(OrderShipped),
        /// With the customer.
        "order.delivered" 1 => Delivered(OrderDelivered),
        /// The saga has ended well.
        "order.completed" 1 => Completed(OrderCompleted),
        /// Not fulfilled; nothing was charged.
        "order.rejected" 1 => Rejected(OrderRejected),
        /// Somebody wants it cancelled.
        "order.cancellation_requested" 1 => CancellationRequested(OrderCancellationRequested),
        /// Cancelling came too late.
        "order.cancellation_refused" 1 => CancellationRefused(OrderCancellationRefused),
        /// Not fulfilled; everything done was undone.
        "order.cancelled" 1 => Cancelled(OrderCancelled),
    }
}

/// An order's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// As placed; `None` before.
    pub placed: Option<OrderPlaced>,
    /// How far it has come.
    pub status: OrderStatus,
    /// Why it ended without fulfilment.
    pub reason: Option<EndReason>,
    /// Somebody wants it cancelled, and that is not settled yet.
    pub cancellation_requested: bool,
    /// The payment that paid it.
    pub payment_id: Option<Uuid>,
    /// The shipment that carries it.
    pub shipment_id: Option<Uuid>,
}
