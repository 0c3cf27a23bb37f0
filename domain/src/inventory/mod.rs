//! Stock of one product over all warehouses. Stream type `inventory`, id = the product's id.
//!
//! Invariant: in every warehouse `0 ≤ reserved ≤ on_hand`. Stock is deducted when a reservation is committed, at dispatch.

mod decide;
mod state;
#[cfg(test)]
mod tests;
mod view;

use crate::aggregate::Registry;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::decide::InventoryError;
pub use self::state::{FEWEST_TO_PRUNE, Inventory, MalformedKey, Reservation, ReservationKey, Settled};
pub use self::view::{Availability, StockTotal, StockView};
use crate::Timestamp;

/// The warehouse that is meant when none is named.
pub const MAIN_WAREHOUSE: &str = "main";

/// The largest stock of one product in one warehouse, in pieces.
pub const MAX_ON_HAND: u64 = 1_000_000_000;

/// A command for the stock of a product. A reservation is named by (order, line): repeats change nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InventoryCommand {
    /// States what is on hand in a warehouse.
    SetStock {
        /// The warehouse.
        warehouse: String,
        /// Pieces.
        on_hand: u64,
    },
    /// Sets pieces aside for an order line, from one or more warehouses.
    Reserve {
        /// The order.
        order_id: Uuid,
        /// Its line, from 1.
        line: u32,
        /// Pieces.
        quantity: u32,
        /// When the reservation lapses; one that asks after this instant is refused.
        expires_at: Timestamp,
    },
    /// Puts reserved pieces back. Releasing what is not reserved changes nothing.
    Release {
        /// The order.
        order_id: Uuid,
        /// Its line.
        line: u32,
        /// Why.
        reason: String,
    },
    /// Sees to it that nothing is reserved under this name and nothing will be: whoever was refused a reservation and may
    /// have asked twice takes the second asking back, which could arrive when there is stock again.
    Withdraw {
        /// The order.
        order_id: Uuid,
        /// Its line.
        line: u32,
        /// Why.
        reason: String,
        /// When the reservation that was asked for would have lapsed; an asking that arrives later is refused anyway.
        expires_at: Timestamp,
    },
    /// Deducts reserved pieces: they have left the warehouse.
    Commit {
        /// The order.
        order_id: Uuid,
        /// Its line.
        line: u32,
    },
}

/// A warehouse's level after an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelAfter {
    /// The warehouse.
    pub warehouse: String,
    /// Pieces there.
    pub on_hand: u64,
    /// Of these, set aside for orders.
    pub reserved: u64,
}

/// Pieces of one reservation that come from one warehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// The warehouse.
    pub warehouse: String,
    /// Pieces.
    pub quantity: u32,
}

/// `inventory.stock_set` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockSet {
    /// The product.
    pub product_id: Uuid,
    /// What was on hand before, in pieces.
    pub previous: u64,
    /// The warehouse's level from now on.
    pub level: LevelAfter,
}

/// `inventory.reserved` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReserved {
    /// The product.
    pub product_id: Uuid,
    /// The order.
    pub order_id: Uuid,
    /// Its line.
    pub line: u32,
    /// Pieces.
    pub quantity: u32,
    /// Where they come from.
    pub allocations: Vec<Allocation>,
    /// When they were reserved.
    pub reserved_at: Timestamp,
    /// When the reservation lapses.
    pub expires_at: Timestamp,
    /// The levels of these warehouses from now on.
    pub levels: Vec<LevelAfter>,
}

/// `inventory.released` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReleased {
    /// The product.
    pub product_id: Uuid,
    /// The order.
    pub order_id: Uuid,
    /// Its line.
    pub line: u32,
    /// Pieces.
    pub quantity: u32,
    /// Why.
    pub reason: String,
    /// The levels of the warehouses from now on.
    pub levels: Vec<LevelAfter>,
}

/// `inventory.committed` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockCommitted {
    /// The product.
    pub product_id: Uuid,
    /// The order.
    pub order_id: Uuid,
    /// Its line.
    pub line: u32,
    /// Pieces deducted.
    pub quantity: u32,
    /// The levels of the warehouses from now on.
    pub levels: Vec<LevelAfter>,
}

/// `inventory.withdrawn` 1: a reservation that was never made won't be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationWithdrawn {
    /// The product.
    pub product_id: Uuid,
    /// The order.
    pub order_id: Uuid,
    /// Its line.
    pub line: u32,
    /// Why.
    pub reason: String,
    /// When it was withdrawn.
    pub withdrawn_at: Timestamp,
    /// When it would have lapsed.
    pub expires_at: Timestamp,
}

crate::events! {
    /// What can happen to a product's stock.
    pub enum InventoryEvent {
        /// Somebody stated what is on hand.
        "inventory.stock_set" 1 => StockSet(StockSet),
        /// Pieces were set aside for an order line.
        "inventory.reserved" 1 => Reserved(StockReserved),
        /// Reserved pieces were put back.
        "inventory.released" 1 => Released(StockReleased),
        /// Reserved pieces left the warehouse.
        "inventory.committed" 1 => Committed(StockCommitted),
        /// A reservation that was never made won't be.
        "inventory.withdrawn" 1 => Withdrawn(ReservationWithdrawn),
    }
}

/// A warehouse's level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Pieces there.
    pub on_hand: u64,
    /// Of these, set aside for orders.
    pub reserved: u64,
}

/// Adds its aggregates.
#[must_use]
pub fn aggregates(registry: Registry) -> Registry {
    registry.with::<Inventory>()
}
