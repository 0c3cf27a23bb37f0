//! Shipping: how orders come to those who placed them.

pub mod shipment;

use crate::aggregate::Registry;

/// Adds its aggregates.
#[must_use]
pub fn aggregates(registry: Registry) -> Registry {
    registry.with::<shipment::Shipment>()
}
