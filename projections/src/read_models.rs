//! The read models' query port: named questions that the query side asks, whatever the database.

use async_trait::async_trait;
use domain::Timestamp;
use domain::event::{RecordedEvent, serialize_wire_time};
use domain::identity::user::Role;
use domain::money::{Currency, Money};
use domain::payments::payment::RefundReason;
use domain::personal::Sealed;
use domain::position::{Position, Seen, SyncToken};
use domain::stream::StreamId;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

use crate::engine::sagas::{SagaFilter, SagaRow};

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The read model has not seen the token's positions within the wait: repeat later.
    #[error("the read model {model} has not seen {token} yet")]
    Stale {
        /// The projection.
        model: &'static str,
        /// What was waited for.
        token: String,
    },
    /// This program's version of the read model isn't the live one, and the live one has other columns: repeat later, or ask a process
    /// of that version.
    #[error(
        "this program's version of the read model {model} is not live: it is still being filled, or was replaced"
    )]
    NotLive {
        /// The projection.
        model: &'static str,
    },
    /// [`Page::after`] is not one that this question's [`Listed::next`] made.
    #[error("the cursor doesn't belong to this list")]
    BadCursor,
    /// [`Page::after`] names a view of the index that isn't kept any more: begin at the first page.
    #[error("the search that the cursor goes on with isn't kept any more; begin at the first page")]
    Expired,
    /// Others ask so much that it is not this question's turn in time: repeat later.
    #[error("too many searches at once")]
    Overloaded,
    /// Storage can't answer: repeat later.
    #[error("the read model is unavailable: {0}")]
    Unavailable(String),
}

/// A name of a read model that queries wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Model {
    /// Products by id and list.
    Products,
    /// Full-text search of products.
    Search,
    /// Stock per product and warehouse.
    Inventory,
    /// Orders and their lines.
    Orders,
    /// Payments.
    Payments,
    /// Shipments.
    Shipments,
    /// Users.
    Users,
    /// Every event, for auditors.
    Events,
    /// Where the sagas stand, for operators.
    Sagas,
}

impl Model {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Products,
        Self::Search,
        Self::Inventory,
        Self::Orders,
        Self::Payments,
        Self::Shipments,
        Self::Users,
        Self::Events,
        Self::Sagas,
    ];

    /// The name of its projection.
    #[must_use]
    pub fn projection(self) -> &'static str {
        match self {
            Self::Products => "products",
            Self::Search => "search",
            Self::Inventory => "inventory",
            Self::Orders => "orders",
            Self::Payments => "payments",
            Self::Shipments => "shipments",
            Self::Users => "users",
            Self::Events => "events",
            Self::Sagas => "sagas",
        }
    }
}

/// A product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProductRow {
    /// Its id.
    pub id: Uuid,
    /// The merchant's own article number.
    pub sku: String,
    /// The name shown to customers.
    pub name: String,
    /// Free text.
    pub description: String,
    /// The category that search facets count.
    pub category: String,
    /// Further properties, by name.
    pub attributes: BTreeMap<String, String>,
    /// The price of one.
    pub price: Money,
    /// It can't be ordered any more.
    pub discontinued: bool,
    /// The stream's version.
    pub version: u64,
    /// When it was created.
    #[serde(serialize_with = "serialize_wire_time")]
    pub created_at: Timestamp,
    /// When it last changed.
    #[serde(serialize_with = "serialize_wire_time")]
    pub updated_at: Timestamp,
}

/// The order of a product list; ties by id, ascending.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProductSort {
    /// Created first, first.
    #[default]
    Created,
    /// By currency, in order of its code: amounts of two can't be compared. Within each, cheapest first.
    PriceAsc,
    /// By currency, in order of its code; within each, dearest first.
    PriceDesc,
    /// By name.
    Name,
    /// Best match first (search only; elsewhere as `Created`).
    Relevance,
}

/// Which products. An amount says nothing without its currency: whoever bounds the price names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProductFilter {
    /// This category, in its normal form.
    pub category: Option<String>,
    /// At least this price, minor units.
    pub min_price: Option<i64>,
    /// At most this price, minor units.
    pub max_price: Option<i64>,
    /// Only prices of this currency.
    pub currency: Option<Currency>,
}

/// A page of a list: what comes after the row that `after` names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The sort values and id of the last row of the page before; opaque to the caller, made by [`Listed::next`].
    pub after: Option<String>,
    /// 1 to 100 rows.
    pub limit: usize,
}

/// A page's rows and where the next page starts; `None` at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// The rows.
    pub items: Vec<T>,
    /// [`Page::after`] of the next page.
    pub next: Option<String>,
}

/// A search's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchHits {
    /// The page.
    pub page: Listed<ProductRow>,
    /// How many products match.
    pub total: u64,
    /// (category, how many of the matches), most first, then by name.
    pub categories: Vec<(String, u64)>,
}

/// Stock of one product in one warehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StockRow {
    /// The product.
    pub product_id: Uuid,
    /// The warehouse.
    pub warehouse: String,
    /// Pieces there.
    pub on_hand: u64,
    /// Of these, set aside for orders.
    pub reserved: u64,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderLineRow {
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

/// A part of an order that is an aggregate of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartRow {
    /// Its id.
    pub id: Uuid,
    /// Its status, as on the wire.
    pub status: String,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderRow {
    /// Its id.
    pub id: Uuid,
    /// How far it has come, as on the wire.
    pub status: String,
    /// Why it ended without fulfilment.
    pub reason: Option<String>,
    /// Its lines.
    pub items: Vec<OrderLineRow>,
    /// The price of all lines.
    pub total: Money,
    /// The payment, once there is one.
    pub payment: Option<PartRow>,
    /// The shipment, once there is one.
    pub shipment: Option<PartRow>,
    /// The customer's user id.
    pub customer_id: Uuid,
    /// The provider's token of the payment method.
    pub payment_method: String,
    /// The stream's version.
    pub version: u64,
    /// The version of the payment's stream that `payment` shows; 0 before there is one.
    #[serde(skip)]
    pub payment_version: u64,
    /// The version of the shipment's stream that `shipment` shows; 0 before there is one.
    #[serde(skip)]
    pub shipment_version: u64,
    /// When it was placed.
    #[serde(serialize_with = "serialize_wire_time")]
    pub created_at: Timestamp,
    /// When it last changed.
    #[serde(serialize_with = "serialize_wire_time")]
    pub updated_at: Timestamp,
}

/// Which orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Only this customer's.
    pub customer_id: Option<Uuid>,
    /// Only with this status, as on the wire.
    pub status: Option<String>,
}

/// A refund of a payment; its reason as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefundRow {
    /// Its id.
    pub id: Uuid,
    /// How much.
    pub amount: Money,
    /// Why, for people.
    pub reason: RefundReason,
    /// It was paid back.
    pub settled: bool,
    /// What the provider said when it refused it for good: it doesn't count.
    pub failure: Option<String>,
}

/// A payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PaymentRow {
    /// Its id.
    pub id: Uuid,
    /// The order.
    pub order_id: Uuid,
    /// The customer's user id.
    #[serde(skip)]
    pub customer_id: Uuid,
    /// How far it has come, as on the wire.
    pub status: String,
    /// What is to be charged.
    pub amount: Money,
    /// What the provider took.
    pub captured: Money,
    /// The sum of refunds.
    pub refunded: Money,
    /// The refunds, oldest first.
    pub refunds: Vec<RefundRow>,
    /// Why the provider declined.
    pub decline_reason: Option<String>,
    /// The stream's version.
    pub version: u64,
    /// When it was initiated.
    #[serde(serialize_with = "serialize_wire_time")]
    pub created_at: Timestamp,
    /// When it last changed.
    #[serde(serialize_with = "serialize_wire_time")]
    pub updated_at: Timestamp,
}

/// A shipment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShipmentRow {
    /// Its id.
    pub id: Uuid,
    /// The order.
    pub order_id: Uuid,
    /// The customer's user id.
    #[serde(skip)]
    pub customer_id: Uuid,
    /// How far it has come, as on the wire.
    pub status: String,
    /// The carrier's own id.
    pub carrier_reference: Option<String>,
    /// The stream's version.
    pub version: u64,
    /// When it was requested.
    #[serde(serialize_with = "serialize_wire_time")]
    pub created_at: Timestamp,
    /// When it last changed.
    #[serde(serialize_with = "serialize_wire_time")]
    pub updated_at: Timestamp,
}

/// A user; personal fields as ciphertext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Its id.
    pub id: Uuid,
    /// The address as typed.
    pub email: Sealed,
    /// The name.
    pub name: Sealed,
    /// What they may do.
    pub roles: Vec<Role>,
    /// The stream's version.
    pub version: u64,
    /// When they signed up.
    pub created_at: Timestamp,
    /// When the profile last changed.
    pub updated_at: Timestamp,
}

/// Which events; all given conditions hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Exactly this dotted type.
    pub event_type: Option<String>,
    /// Exactly this actor.
    pub actor: Option<String>,
    /// Exactly this correlation id.
    pub correlation_id: Option<Uuid>,
}

/// A page of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventPage {
    /// The events; fewer than asked for, even none, when looking for more took too long.
    pub events: Vec<Arc<RecordedEvent>>,
    /// Where the list goes on; `None` at its end.
    pub next: Option<Position>,
}

/// The one question that a search index answers.
#[async_trait]
pub trait ProductSearch: Send + Sync + 'static {
    /// See [`ReadModels::search`].
    ///
    /// # Errors
    /// [`ReadError::BadCursor`], [`ReadError::Expired`], [`ReadError::Overloaded`], [`ReadError::Unavailable`].
    async fn search(
        &self,
        tenant: &str,
        text: &str,
        filter: &ProductFilter,
        sort: ProductSort,
        page: &Page,
    ) -> Result<SearchHits, ReadError>;
}

/// The questions that the query side asks. Every answer is at least as new as the projection's last applied batch.
#[async_trait]
pub trait ReadModels: Send + Sync + 'static {
    /// Waits until the model has seen the token's positions, visibly for queries.
    ///
    /// # Errors
    /// [`ReadError::Stale`] when it hasn't within `wait`.
    async fn wait_for(&self, model: Model, token: &SyncToken, wait: Duration) -> Result<(), ReadError>;

    /// The same questions, asked only of rows that hold the token's positions: an answer and the positions that its rows hold are of
    /// one snapshot, and it waits until `until` for such a one. What was seen a moment ago needn't be there any more: rows are begun
    /// anew, and put back to an older state.
    fn after(self: Arc<Self>, token: &SyncToken, until: Instant) -> Arc<dyn ReadModels>;

    /// The positions that the model has seen, in shard order.
    fn seen(&self, model: Model) -> Seen;

    /// Whether the stream is parked in the model: its rows are older than the log and stay so until redriven.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`], here and below.
    async fn is_parked(&self, model: Model, stream: &StreamId) -> Result<bool, ReadError>;

    /// A product.
    async fn product(&self, tenant: &str, id: Uuid) -> Result<Option<ProductRow>, ReadError>;

    /// Products that are not discontinued.
    async fn products(
        &self,
        tenant: &str,
        filter: &ProductFilter,
        sort: ProductSort,
        page: &Page,
    ) -> Result<Listed<ProductRow>, ReadError>;

    /// Products that match a text, with typing errors tolerated; all products for an empty one. The pages of one search are of one
    /// view of the index: what changes meanwhile neither doubles nor loses a row. A view that isn't kept any more is
    /// [`ReadError::Expired`] for a list by relevance; other orders go on behind the last row.
    async fn search(
        &self,
        tenant: &str,
        text: &str,
        filter: &ProductFilter,
        sort: ProductSort,
        page: &Page,
    ) -> Result<SearchHits, ReadError>;

    /// Stock of the products in every warehouse; nothing for a product without stock.
    async fn stock(&self, tenant: &str, products: &[Uuid]) -> Result<Vec<StockRow>, ReadError>;

    /// An order.
    async fn order(&self, tenant: &str, id: Uuid) -> Result<Option<OrderRow>, ReadError>;

    /// Orders in order of placing.
    async fn orders(
        &self,
        tenant: &str,
        filter: &OrderFilter,
        page: &Page,
    ) -> Result<Listed<OrderRow>, ReadError>;

    /// A payment.
    async fn payment(&self, tenant: &str, id: Uuid) -> Result<Option<PaymentRow>, ReadError>;

    /// A shipment.
    async fn shipment(&self, tenant: &str, id: Uuid) -> Result<Option<ShipmentRow>, ReadError>;

    /// The saga of an order; work that was due before `overdue` is older than its bound.
    async fn saga(&self, tenant: &str, order: Uuid, overdue: Timestamp)
    -> Result<Option<SagaRow>, ReadError>;

    /// Sagas in the order in which they began.
    async fn sagas(
        &self,
        tenant: &str,
        filter: &SagaFilter,
        page: &Page,
    ) -> Result<Listed<SagaRow>, ReadError>;

    /// A user.
    async fn user(&self, tenant: &str, id: Uuid) -> Result<Option<UserRow>, ReadError>;

    /// A stream's events with versions above `after`, in order.
    async fn stream_events(
        &self,
        stream: &StreamId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Arc<RecordedEvent>>, ReadError>;

    /// Events of a tenant that match, from position `from` on (inclusive; shards in order, positions in order), none above the
    /// pinned `heads`. What it costs is bounded, however few match: then the page is cut, and says where it goes on.
    async fn events(
        &self,
        tenant: &str,
        filter: &EventFilter,
        from: Position,
        heads: &Seen,
        limit: usize,
    ) -> Result<EventPage, ReadError>;
}
