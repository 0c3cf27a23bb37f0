#![doc = include_str!("../README.md")]

pub mod audit;
pub mod catalogue;
pub mod engine;
pub mod identity;
pub mod inventory;
pub mod ordering;
pub mod payments;
pub mod shipping;

use std::sync::Arc;

use engine::model::Projection;

/// The shop's row projections; they share one database and one transaction per batch. The sagas crate adds its own; search
/// stands apart, in an index.
#[must_use]
pub fn shop() -> Vec<Arc<dyn Projection>> {
    vec![
        Arc::new(audit::events::Events),
        Arc::new(inventory::Inventory),
        Arc::new(ordering::orders::Orders),
        Arc::new(payments::Payments),
        Arc::new(catalogue::products::Products),
        Arc::new(shipping::Shipments),
        Arc::new(identity::users::Users),
    ]
}
