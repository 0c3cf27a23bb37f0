//! The shapes of the API's bodies, as the OpenAPI document describes them; shared with the query side, whose read models
//! write them. Reading an answer into its type proves that the two agree: unknown fields are refused.

use chrono::{DateTime, Utc};
use domain::money::Money;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Buys.
    Customer,
    /// Helps customers; may refund.
    Support,
    /// Sets stock, dispatches and delivers.
    Warehouse,
    /// Reads projections.
    Analyst,
    /// Reads the event history.
    Auditor,
    /// Runs the platform.
    Operator,
    /// Manages catalogue and users.
    Admin,
    /// Another program.
    Service,
}

/// A user who has just signed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Its id.
    pub id: Uuid,
    /// The address as typed.
    pub email: String,
    /// The name.
    pub name: String,
    /// What they may do.
    pub roles: Vec<Role>,
}

/// One's own profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The user's id.
    pub id: Uuid,
    /// The address as typed.
    pub email: String,
    /// The name.
    pub name: String,
    /// What they may do.
    pub roles: Vec<Role>,
    /// The stream's version, as in `ETag`.
    pub version: u64,
    /// When they signed up.
    pub created_at: DateTime<Utc>,
    /// When the profile last changed.
    pub updated_at: DateTime<Utc>,
}

/// Tokens of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionTokens {
    /// A JWT for `Authorization: Bearer`.
    pub access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    pub token_type: String,
    /// How long the access token is valid, seconds.
    #[schema(example = 900)]
    pub expires_in: u64,
    /// Exchanged once for new tokens.
    pub refresh_token: String,
}

/// Stock of a product in one warehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Stock {
    /// The product.
    pub product_id: Uuid,
    /// The warehouse.
    #[schema(example = "main")]
    pub warehouse: String,
    /// Pieces there.
    pub on_hand: u64,
    /// Of these, set aside for orders.
    pub reserved: u64,
    /// The rest.
    pub available: u64,
    /// The same over all warehouses.
    pub total: StockTotal,
    /// The version of the product's stock, of all warehouses together.
    pub version: u64,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Pieces in all warehouses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StockTotal {
    /// Pieces there.
    pub on_hand: u64,
    /// Of these, set aside for orders.
    pub reserved: u64,
    /// The rest.
    pub available: u64,
}

/// Stock of a product over all warehouses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Availability {
    /// The product.
    pub product_id: Uuid,
    /// Pieces in all warehouses.
    pub on_hand: u64,
    /// Of these, set aside for orders.
    pub reserved: u64,
    /// The rest.
    pub available: u64,
}

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Placed.
    Pending,
    /// Every line's stock is reserved.
    StockReserved,
    /// The provider's answer is missing.
    PaymentUnknown,
    /// Captured, and a shipment exists.
    Paid,
    /// On its way.
    Shipped,
    /// With the customer.
    Delivered,
    /// All is done.
    Completed,
    /// Not fulfilled: nothing was charged.
    Rejected,
    /// Not fulfilled: everything done was undone.
    Cancelled,
}

/// Why an order ended without fulfilment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

/// How far a payment has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// The provider may have been called.
    Initiated,
    /// The money is set aside.
    Authorized,
    /// The money was taken.
    Captured,
    /// The provider refused.
    Declined,
    /// The provider's answer is missing.
    Unknown,
    /// It will never be charged.
    Voided,
    /// Some of the capture went back.
    PartiallyRefunded,
    /// All of the capture went back.
    Refunded,
}

/// Why the provider declined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeclineReason {
    /// The issuer said no.
    Declined,
    /// Not enough money.
    InsufficientFunds,
    /// The provider doesn't know the method.
    UnknownMethod,
    /// The provider refused the call itself, for good.
    Refused,
}

/// A refund of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refund {
    /// Its id.
    pub id: Uuid,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: String,
    /// It was paid back.
    pub settled: bool,
    /// What the provider said when it refused it for good, so that it doesn't count; null otherwise.
    #[schema(required = true)]
    pub failure: Option<String>,
}

/// A payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// Its id.
    pub id: Uuid,
    /// The order.
    pub order_id: Uuid,
    /// How far it has come.
    pub status: PaymentStatus,
    /// What is to be charged.
    pub amount: Money,
    /// What the provider took.
    pub captured: Money,
    /// The sum of refunds.
    pub refunded: Money,
    /// The refunds.
    pub refunds: Vec<Refund>,
    /// Why the provider declined; null otherwise.
    #[schema(required = true)]
    pub decline_reason: Option<DeclineReason>,
    /// The stream's version, as in `ETag`.
    pub version: u64,
    /// When it was initiated.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// How far a shipment has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShipmentStatus {
    /// The carrier may have been called.
    Requested,
    /// It waits in the warehouse.
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

/// Where a saga stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SagaStatus {
    /// It doesn't go on by itself.
    Stuck,
    /// It has something to do.
    Running,
    /// It waits for the warehouse or the customer.
    Waiting,
    /// It takes back what was done.
    Compensating,
    /// Nothing is left to do.
    Ended,
}

/// The saga of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Saga {
    /// The order.
    pub order_id: Uuid,
    /// Where it stands.
    pub status: SagaStatus,
    /// The step that it is at; null when it has ended.
    #[schema(required = true, example = "refund-payment")]
    pub step: Option<String>,
    /// What it waits for that may take as long as it takes: `dispatch`, `delivery`, `refund_settlement`; null otherwise.
    #[schema(required = true)]
    pub waiting_for: Option<String>,
    /// Since when it has this status.
    pub since: DateTime<Utc>,
    /// Why it is stuck: `refund_refused`, `void_refused`, `carrier_refused`, `step_refused`; `payments_overdue`, `carrier_overdue`,
    /// `commands_overdue`; `halted`. Else why its order isn't fulfilled, or null.
    #[schema(required = true)]
    pub reason: Option<String>,
    /// How many times the step was asked for.
    pub attempts: u32,
}
