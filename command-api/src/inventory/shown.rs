//! Stock as it is shown. Reading an answer into its type proves that both agree: unknown fields are refused.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

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
