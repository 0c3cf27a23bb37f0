//! Ordering: what customers order.

pub mod order;

use crate::aggregate::Registry;

/// Adds its aggregates.
#[must_use]
pub fn aggregates(registry: Registry) -> Registry {
    registry.with::<order::Order>()
}
