//! What the stock of a product remembers.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::{Allocation, InventoryEvent, Level, LevelAfter};
use crate::Timestamp;

/// The name of a reservation: the order and its line; written `order/line`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReservationKey {
    /// The order.
    pub order_id: Uuid,
    /// Its line, from 1.
    pub line: u32,
}

impl fmt::Display for ReservationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.order_id, self.line)
    }
}

/// The text is no `order/line`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a reservation of the form order/line")]
pub struct MalformedKey;

impl FromStr for ReservationKey {
    type Err = MalformedKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (order_id, line) = text.split_once('/').ok_or(MalformedKey)?;
        Ok(Self {
            order_id: order_id.parse().map_err(|_| MalformedKey)?,
            line: line.parse().map_err(|_| MalformedKey)?,
        })
    }
}

impl Serialize for ReservationKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ReservationKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An open reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Where its pieces are.
    pub allocations: Vec<Allocation>,
    /// When it lapses.
    pub expires_at: Timestamp,
}

impl Reservation {
    /// Pieces, of all warehouses. It sums up to what was asked for, which is a u32.
    #[must_use]
    pub fn quantity(&self) -> u32 {
        self.allocations.iter().map(|a| a.quantity).fold(0, u32::saturating_add)
    }
}

/// A reservation that is open no more; written as `[committed, expires_at in microseconds since 1970]`, since a sale has many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(bool, i64)", into = "(bool, i64)")]
pub struct Settled {
    /// Its pieces were deducted; otherwise they were put back, or never set aside.
    pub committed: bool,
    /// When it would have lapsed; a late reserve is refused by this from then on, so it need not be remembered.
    pub expires_at: Timestamp,
}

impl From<(bool, i64)> for Settled {
    fn from((committed, micros): (bool, i64)) -> Self {
        let expires_at = Timestamp::from_timestamp_micros(micros).unwrap_or(Timestamp::MAX_UTC);
        Self { committed, expires_at }
    }
}

impl From<Settled> for (bool, i64) {
    fn from(settled: Settled) -> Self {
        (settled.committed, settled.expires_at.timestamp_micros())
    }
}

/// The stock of one product.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// The levels, by warehouse.
    pub warehouses: BTreeMap<String, Level>,
    /// The open reservations.
    pub reservations: BTreeMap<ReservationKey, Reservation>,
    /// Reservations that are open no more, so that one that comes late isn't made again. Kept until the time at which they would have
    /// lapsed: a reserve that comes later is refused by that time (`reservation-expired`), a release or withdrawal changes nothing, and
    /// a commit is refused (`not-reserved`) unless its command id is known, which then gets the first one's answer.
    pub settled: BTreeMap<ReservationKey, Settled>,
    /// How many settled ones make the next pruning due; 0 stands for [`FEWEST_TO_PRUNE`].
    pub prune_at: usize,
    /// The warehouse whose stock was stated last.
    pub last_set: Option<String>,
}

/// Fewer settled reservations than this are all kept.
pub const FEWEST_TO_PRUNE: usize = 64;

impl Inventory {
    pub(super) fn fold(&mut self, event: &InventoryEvent) {
        match event {
            InventoryEvent::StockSet(set) => {
                self.set_levels(std::slice::from_ref(&set.level));
                self.last_set = Some(set.level.warehouse.clone());
            }
            InventoryEvent::Reserved(reserved) => {
                self.set_levels(&reserved.levels);
                let key = ReservationKey { order_id: reserved.order_id, line: reserved.line };
                let allocations = reserved.allocations.clone();
                self.reservations.insert(key, Reservation { allocations, expires_at: reserved.expires_at });
                self.prune(reserved.reserved_at);
            }
            InventoryEvent::Released(released) => {
                self.set_levels(&released.levels);
                self.settle(ReservationKey { order_id: released.order_id, line: released.line }, false);
            }
            InventoryEvent::Withdrawn(withdrawn) => {
                let key = ReservationKey { order_id: withdrawn.order_id, line: withdrawn.line };
                self.settled.insert(key, Settled { committed: false, expires_at: withdrawn.expires_at });
                self.prune(withdrawn.withdrawn_at);
            }
            InventoryEvent::Committed(committed) => {
                self.set_levels(&committed.levels);
                self.settle(ReservationKey { order_id: committed.order_id, line: committed.line }, true);
            }
        }
    }

    /// See [`Aggregate::weight`](crate::aggregate::Aggregate::weight).
    pub(super) fn bytes(&self) -> usize {
        // With the share of a tree's node that isn't full.
        let each = |size: usize| size * 3 / 2;
        size_of::<Self>()
            + self.settled.len() * each(size_of::<(ReservationKey, Settled)>())
            + self.reservations.len() * each(size_of::<(ReservationKey, Reservation)>() + 64)
            + self.warehouses.len() * each(size_of::<(String, Level)>() + 32)
    }

    fn set_levels(&mut self, levels: &[LevelAfter]) {
        for after in levels {
            let level = Level { on_hand: after.on_hand, reserved: after.reserved };
            self.warehouses.insert(after.warehouse.clone(), level);
        }
    }

    fn settle(&mut self, key: ReservationKey, committed: bool) {
        if let Some(reservation) = self.reservations.remove(&key) {
            self.settled.insert(key, Settled { committed, expires_at: reservation.expires_at });
        }
    }

    /// Forgets settled reservations that have lapsed. Only once their number has grown by a quarter since the last time, so that a
    /// hot product's events cost the same however many they are; by the events' own times, so that every replay agrees. So there
    /// are at most a quarter more than those that are settled within the time for which stock is set aside.
    fn prune(&mut self, now: Timestamp) {
        if self.settled.len() < self.prune_at.max(FEWEST_TO_PRUNE) {
            return;
        }
        self.settled.retain(|_, settled| settled.expires_at >= now);
        self.prune_at = self.settled.len() / 4 * 5;
    }
}
