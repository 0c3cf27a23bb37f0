//! An order as commands and queries return it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{EndReason, Order, OrderLine, OrderStatus};
use crate::aggregate::StreamMeta;
use crate::event::serialize_wire_time;
use crate::money::Money;
use crate::payments::payment::PaymentStatus;
use crate::shipping::shipment::ShipmentStatus;

/// A line of an order, with the price at the time of ordering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderItem {
    /// Its number, from 1.
    pub line: u32,
    /// The product.
    pub product_id: Uuid,
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

/// An order's payment, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderPayment {
    /// Its id.
    pub id: Uuid,
    /// How far it has come.
    pub status: PaymentStatus,
}

/// An order's shipment, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderShipment {
    /// Its id.
    pub id: Uuid,
    /// How far it has come.
    pub status: ShipmentStatus,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Order)]
#[serde(deny_unknown_fields)]
pub struct OrderView {
    /// Its id.
    pub id: Uuid,
    /// How far it has come.
    pub status: OrderStatus,
    /// Why it ended without fulfilment; null otherwise.
    #[schema(required = true)]
    pub reason: Option<EndReason>,
    /// What was bought.
    pub items: Vec<OrderItem>,
    /// The price of all lines.
    pub total: Money,
    /// The payment; null until there is one.
    #[schema(required = true)]
    pub payment: Option<OrderPayment>,
    /// The shipment; null until there is one.
    #[schema(required = true)]
    pub shipment: Option<OrderShipment>,
    /// The customer's user id.
    pub customer_id: Uuid,
    /// The provider's token of the payment method.
    pub payment_method: String,
    /// The stream's version, as in `ETag`.
    pub version: u64,
    /// The version of the payment's stream that `payment` shows; 0 where it shows none.
    #[serde(skip)]
    pub payment_version: u64,
    /// The version of the shipment's stream that `shipment` shows; 0 where it shows none.
    #[serde(skip)]
    pub shipment_version: u64,
    /// When it was placed.
    #[serde(serialize_with = "serialize_wire_time")]
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    #[serde(serialize_with = "serialize_wire_time")]
    pub updated_at: DateTime<Utc>,
}

impl From<&OrderLine> for OrderItem {
    fn from(line: &OrderLine) -> Self {
        Self {
            line: line.line,
            product_id: line.product_id,
            sku: line.sku.clone(),
            name: line.name.clone(),
            quantity: line.quantity,
            unit_price: line.unit_price,
            line_total: line.line_total,
        }
    }
}

impl OrderView {
    /// The order of a state that has been placed. Its payment and its shipment are other aggregates.
    pub(super) fn of(order: &Order, meta: &StreamMeta) -> Option<Self> {
        let placed = order.placed.as_ref()?;
        Some(Self {
            id: meta.stream.id().parse().ok()?,
            status: order.status,
            reason: order.reason,
            items: placed.lines.iter().map(OrderItem::from).collect(),
            total: placed.total,
            payment: None,
            shipment: None,
            customer_id: placed.customer_id,
            payment_method: placed.payment_method.clone(),
            version: meta.version,
            payment_version: 0,
            shipment_version: 0,
            created_at: meta.created_at,
            updated_at: meta.updated_at,
        })
    }
}
