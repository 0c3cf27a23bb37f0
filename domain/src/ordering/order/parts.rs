//! The ids of what is made for an order: always the same for the same order, so that a repeat makes nothing twice, and whoever
//! knows the order finds them.

use uuid::Uuid;

use super::OrderParts;
use crate::command::digest_of;
use crate::stream::{derive_id_in_shard, derived_id, shard_of_parts};

/// The stream types that bear the order's own id, and share its shard.
pub const TOGETHER: [&str; 2] = ["order", "fulfilment"];

impl OrderParts {
    /// Ids that share the order's shard: the first of those derived from the order that do.
    #[must_use]
    pub fn beside(tenant: &str, order_id: Uuid, shards: u16) -> Self {
        let order = order_id.to_string();
        let shard = shard_of_parts([tenant, TOGETHER[0], &order], shards);
        let first = |kind: &str, what: &str| {
            derive_id_in_shard(tenant, kind, shard, shards, |n| derived_from(order_id, &order, what, n))
        };
        Self {
            payment_id: first("payment", "payment beside"),
            shipment_id: first("shipment", "shipment beside"),
        }
    }
}

/// A UUIDv7 with the order's time and random bits from a digest of the order and what the id is for.
#[must_use]
pub fn derived(order_id: Uuid, what: &str, attempt: u32) -> Uuid {
    derived_from(order_id, &order_id.to_string(), what, attempt)
}

fn derived_from(order_id: Uuid, order: &str, what: &str, attempt: u32) -> Uuid {
    derived_id(order_id, &digest_of(&[order, what, &attempt.to_string()]))
}

/// The payment of the order's n-th attempt to pay, from 1.
#[must_use]
pub fn payment_id(order_id: Uuid, attempt: u32) -> Uuid {
    derived(order_id, "payment", attempt)
}

/// The shipment of the order's n-th attempt to ship, from 1.
#[must_use]
pub fn shipment_id(order_id: Uuid, attempt: u32) -> Uuid {
    derived(order_id, "shipment", attempt)
}
