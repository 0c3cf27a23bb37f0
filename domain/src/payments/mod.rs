//! Payments: what is charged for orders, and paid back.

pub mod payment;

use crate::aggregate::Registry;

/// Adds its aggregates.
#[must_use]
pub fn aggregates(registry: Registry) -> Registry {
    registry.with::<payment::Payment>()
}
