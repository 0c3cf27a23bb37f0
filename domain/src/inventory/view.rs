//! Stock as commands and queries return it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Inventory;
use crate::aggregate::StreamMeta;
use crate::event::serialize_wire_time;

/// Stock of a product in one warehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Stock)]
#[serde(deny_unknown_fields)]
pub struct StockView {
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
    #[serde(serialize_with = "serialize_wire_time")]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
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

impl StockView {
    /// The warehouse that was set last.
    pub(super) fn of(inventory: &Inventory, meta: &StreamMeta) -> Option<Self> {
        let warehouse = inventory.last_set.clone()?;
        let (level, total) = (inventory.level_of(&warehouse), inventory.total());
        Some(Self {
            product_id: meta.stream.id().parse().ok()?,
            warehouse,
            on_hand: level.on_hand,
            reserved: level.reserved,
            available: level.available(),
            total: StockTotal {
                on_hand: total.on_hand,
                reserved: total.reserved,
                available: total.available(),
            },
            version: meta.version,
            updated_at: meta.updated_at,
        })
    }
}
