//! Orders as they are shown. Reading an answer into its type proves that both agree: unknown fields are refused.

use chrono::{DateTime, Utc};
use domain::money::Money;
use domain::ordering::order::{EndReason, OrderStatus};
use domain::payments::payment::PaymentStatus;
use domain::shipping::shipment::ShipmentStatus;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A line of an order, with the price at the time of ordering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderPayment {
    /// Its id.
    pub id: Uuid,
    /// How far it has come.
    pub status: PaymentStatus,
}

/// An order's shipment, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderShipment {
    /// Its id.
    pub id: Uuid,
    /// How far it has come.
    pub status: ShipmentStatus,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Order {
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
    /// When it was placed.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}
