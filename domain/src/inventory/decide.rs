//! What the stock of a product decides.

use serde_json::Value;
use uuid::Uuid;

use super::{
    Allocation, Inventory, InventoryCommand, InventoryEvent, Level, LevelAfter, MAIN_WAREHOUSE, MAX_ON_HAND,
    Reservation, ReservationKey, ReservationWithdrawn, StockCommitted, StockReleased, StockReserved,
    StockSet, StockView,
};
use crate::Timestamp;
use crate::aggregate::{Aggregate, DecisionContext, StreamMeta};
use crate::refusal::{DomainError, RefusalKind};
use crate::text::identifier;

/// The longest name of a warehouse, in characters.
pub(super) const MAX_WAREHOUSE_NAME: usize = 64;

/// Why a command for the stock of a product is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InventoryError {
    /// The stream's id is no product's id.
    #[error("stock is kept by product, whose id is a UUID")]
    ProductId,
    /// The warehouse's name is too long, or no identifier.
    #[error("a warehouse's name must be an identifier of 1 to {MAX_WAREHOUSE_NAME} characters")]
    WarehouseName,
    /// More than a warehouse can hold.
    #[error("the stock of a warehouse must be at most {MAX_ON_HAND} pieces")]
    StockOutOfRange,
    /// Orders have more set aside than would be there.
    #[error("{reserved} pieces are reserved for orders, so no fewer can be on hand")]
    BelowReserved {
        /// Pieces.
        reserved: u64,
    },
    /// Nothing to reserve.
    #[error("at least one piece must be reserved")]
    Quantity,
    /// The reservation's time is up.
    #[error("the reservation has lapsed")]
    Expired,
    /// It was released or committed before.
    #[error("the reservation was released or committed before")]
    AlreadySettled,
    /// Not enough pieces.
    #[error("{available} pieces are available, fewer than asked for")]
    OutOfStock {
        /// Pieces, in all warehouses.
        available: u64,
    },
    /// Nothing is set aside under this name.
    #[error("nothing is reserved for this order line")]
    NotReserved,
}

impl DomainError for InventoryError {
    fn kind(&self) -> RefusalKind {
        match self {
            Self::ProductId | Self::WarehouseName | Self::StockOutOfRange | Self::Quantity => {
                RefusalKind::Invalid
            }
            Self::BelowReserved { .. }
            | Self::Expired
            | Self::AlreadySettled
            | Self::OutOfStock { .. }
            | Self::NotReserved => RefusalKind::Conflict,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::ProductId => "product-id-malformed",
            Self::WarehouseName => "warehouse-name-length",
            Self::StockOutOfRange => "stock-out-of-range",
            Self::BelowReserved { .. } => "below-reserved",
            Self::Quantity => "quantity-out-of-range",
            Self::Expired => "reservation-expired",
            Self::AlreadySettled => "reservation-settled",
            Self::OutOfStock { .. } => "out-of-stock",
            Self::NotReserved => "not-reserved",
        }
    }
}

fn ensure(holds: bool, error: InventoryError) -> Result<(), InventoryError> {
    if holds { Ok(()) } else { Err(error) }
}

fn sum<'a>(levels: impl Iterator<Item = &'a Level>) -> Level {
    levels.fold(Level::default(), |sum, level| Level {
        on_hand: sum.on_hand + level.on_hand,
        reserved: sum.reserved + level.reserved,
    })
}

impl Level {
    /// Pieces that can still be reserved.
    #[must_use]
    pub fn available(&self) -> u64 {
        self.on_hand.saturating_sub(self.reserved)
    }
}

crate::cqrs_aggregate!(Inventory, "inventory", InventoryCommand, InventoryEvent, InventoryError);

impl Inventory {
    /// A warehouse under every name that stands for it: more than one only where an older program told spellings apart.
    fn spellings<'a>(&'a self, warehouse: &'a str) -> impl Iterator<Item = (&'a String, &'a Level)> {
        self.warehouses.iter().filter(move |(name, _)| identifier::same(name, warehouse))
    }

    /// The level of one warehouse.
    pub(super) fn level_of(&self, warehouse: &str) -> Level {
        sum(self.spellings(warehouse).map(|(_, level)| level))
    }

    /// The level over all warehouses.
    #[must_use]
    pub fn total(&self) -> Level {
        sum(self.warehouses.values())
    }

    fn set_stock(
        &self,
        product_id: Uuid,
        warehouse: &str,
        on_hand: u64,
    ) -> Result<Vec<InventoryEvent>, InventoryError> {
        let warehouse = identifier::normal(warehouse).map_err(|_| InventoryError::WarehouseName)?;
        ensure(warehouse.chars().count() <= MAX_WAREHOUSE_NAME, InventoryError::WarehouseName)?;
        ensure(on_hand <= MAX_ON_HAND, InventoryError::StockOutOfRange)?;
        let known = self.warehouses.get(&warehouse);
        let level = known.copied().unwrap_or_default();
        // What an older program took for other warehouses. What is stated counts for all spellings together: those keep what is
        // reserved from them until it has left, and no more.
        let spellings = || self.spellings(&warehouse).filter(|(name, _)| **name != warehouse);
        let elsewhere: u64 = spellings().map(|(_, level)| level.reserved).sum();
        let reserved = level.reserved + elsewhere;
        ensure(on_hand >= reserved, InventoryError::BelowReserved { reserved })?;
        let emptied = spellings().filter(|(_, level)| level.on_hand > level.reserved).map(|(name, level)| {
            let after =
                LevelAfter { warehouse: name.clone(), on_hand: level.reserved, reserved: level.reserved };
            InventoryEvent::StockSet(StockSet { product_id, previous: level.on_hand, level: after })
        });
        let mut events: Vec<_> = emptied.collect();
        let here = on_hand - elsewhere;
        // The answer shows the warehouse that was stated last, so going over to another one is worth an event.
        let stated =
            known.is_some_and(|l| l.on_hand == here) && self.last_set.as_deref() == Some(&*warehouse);
        if !stated || !events.is_empty() {
            let after = LevelAfter { warehouse, on_hand: here, reserved: level.reserved };
            events.push(InventoryEvent::StockSet(StockSet {
                product_id,
                previous: level.on_hand,
                level: after,
            }));
        }
        Ok(events)
    }

    fn reserve(
        &self,
        product_id: Uuid,
        key: ReservationKey,
        quantity: u32,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<InventoryEvent>, InventoryError> {
        // A repeat is answered as the first was, even after the reservation lapsed: the pieces are set aside until released.
        if self.reservations.contains_key(&key) {
            return Ok(Vec::new());
        }
        ensure(!self.settled.contains_key(&key), InventoryError::AlreadySettled)?;
        ensure(now <= expires_at, InventoryError::Expired)?;
        ensure(quantity > 0, InventoryError::Quantity)?;
        let allocations = self.allocate(quantity)?;
        let levels = self.levels_after(&allocations, |level, pieces| level.reserved += pieces);
        Ok(vec![InventoryEvent::Reserved(StockReserved {
            product_id,
            order_id: key.order_id,
            line: key.line,
            quantity,
            allocations,
            reserved_at: now,
            expires_at,
            levels,
        })])
    }

    /// The warehouses in which pieces are looked for: the main one, then the others by name.
    fn in_order(&self) -> impl Iterator<Item = (&str, &Level)> {
        let main = self.warehouses.get_key_value(MAIN_WAREHOUSE);
        let others = self.warehouses.iter().filter(|(name, _)| name.as_str() != MAIN_WAREHOUSE);
        main.into_iter().chain(others).map(|(name, level)| (name.as_str(), level))
    }

    /// From the first warehouse that has all of them; else from as many as it takes.
    fn allocate(&self, quantity: u32) -> Result<Vec<Allocation>, InventoryError> {
        let wanted = u64::from(quantity);
        if let Some((warehouse, _)) = self.in_order().find(|(_, level)| level.available() >= wanted) {
            return Ok(vec![Allocation { warehouse: warehouse.to_owned(), quantity }]);
        }
        let mut left = quantity;
        let mut allocations = Vec::new();
        for (warehouse, level) in self.in_order() {
            let taken = u32::try_from(level.available()).map_or(left, |available| available.min(left));
            if taken > 0 {
                allocations.push(Allocation { warehouse: warehouse.to_owned(), quantity: taken });
                left -= taken;
            }
        }
        ensure(left == 0, InventoryError::OutOfStock { available: self.total().available() })?;
        Ok(allocations)
    }

    fn levels_after(&self, allocations: &[Allocation], change: impl Fn(&mut Level, u64)) -> Vec<LevelAfter> {
        let after = |allocation: &Allocation| {
            let mut level = self.warehouses.get(&allocation.warehouse).copied().unwrap_or_default();
            change(&mut level, u64::from(allocation.quantity));
            LevelAfter {
                warehouse: allocation.warehouse.clone(),
                on_hand: level.on_hand,
                reserved: level.reserved,
            }
        };
        allocations.iter().map(after).collect()
    }

    fn release(
        &self,
        product_id: Uuid,
        key: ReservationKey,
        open: &Reservation,
        reason: &str,
    ) -> InventoryEvent {
        InventoryEvent::Released(StockReleased {
            product_id,
            order_id: key.order_id,
            line: key.line,
            quantity: open.quantity(),
            reason: reason.to_owned(),
            levels: self.levels_after(&open.allocations, |level, pieces| {
                level.reserved = level.reserved.saturating_sub(pieces);
            }),
        })
    }

    fn commit(&self, product_id: Uuid, key: ReservationKey, open: &Reservation) -> InventoryEvent {
        InventoryEvent::Committed(StockCommitted {
            product_id,
            order_id: key.order_id,
            line: key.line,
            quantity: open.quantity(),
            levels: self.levels_after(&open.allocations, |level, pieces| {
                level.reserved = level.reserved.saturating_sub(pieces);
                level.on_hand = level.on_hand.saturating_sub(pieces);
            }),
        })
    }
}

impl Aggregate for Inventory {
    const FOLD: u32 = 2;

    fn decide(
        &self,
        command: &InventoryCommand,
        context: &DecisionContext,
    ) -> Result<Vec<InventoryEvent>, InventoryError> {
        let product_id = context.stream.id().parse().map_err(|_| InventoryError::ProductId)?;
        match command {
            InventoryCommand::SetStock { warehouse, on_hand } => {
                self.set_stock(product_id, warehouse, *on_hand)
            }
            InventoryCommand::Reserve { order_id, line, quantity, expires_at } => {
                let key = ReservationKey { order_id: *order_id, line: *line };
                self.reserve(product_id, key, *quantity, *expires_at, context.now)
            }
            InventoryCommand::Release { order_id, line, reason } => {
                let key = ReservationKey { order_id: *order_id, line: *line };
                let open = self.reservations.get(&key);
                Ok(open.map(|open| self.release(product_id, key, open, reason)).into_iter().collect())
            }
            InventoryCommand::Withdraw { order_id, line, reason, expires_at } => {
                let key = ReservationKey { order_id: *order_id, line: *line };
                if let Some(open) = self.reservations.get(&key) {
                    return Ok(vec![self.release(product_id, key, open, reason)]);
                }
                let moot = self.settled.contains_key(&key) || context.now > *expires_at;
                let withdrawn = || {
                    InventoryEvent::Withdrawn(ReservationWithdrawn {
                        product_id,
                        order_id: *order_id,
                        line: *line,
                        reason: reason.clone(),
                        withdrawn_at: context.now,
                        expires_at: *expires_at,
                    })
                };
                Ok((!moot).then(withdrawn).into_iter().collect())
            }
            InventoryCommand::Commit { order_id, line } => {
                let key = ReservationKey { order_id: *order_id, line: *line };
                match (self.reservations.get(&key), self.settled.get(&key)) {
                    (Some(open), _) => Ok(vec![self.commit(product_id, key, open)]),
                    (None, Some(settled)) if settled.committed => Ok(Vec::new()),
                    (None, _) => Err(InventoryError::NotReserved),
                }
            }
        }
    }

    fn evolve(&mut self, event: &InventoryEvent) {
        self.fold(event);
    }

    fn weight(&self) -> usize {
        self.bytes()
    }

    /// The warehouse that was stated last, and the total over all.
    fn answer(&self, meta: &StreamMeta) -> Option<Value> {
        serde_json::to_value(StockView::of(self, meta)?).ok()
    }
}
