#![doc = include_str!("../README.md")]

pub mod applier;
mod backoff;
pub mod digest;
pub mod events;
pub mod fold;
pub mod follower;
pub mod inventory;
mod lag;
mod mapping;
pub mod mark;
pub mod model;
pub mod orders;
pub mod origin;
pub mod payments;
pub mod products;
pub mod read_models;
pub mod redrive;
pub mod rows;
pub mod runner;
pub mod sagas;
pub mod search;
pub mod shipments;
pub mod status;
pub mod store;
#[cfg(test)]
mod testing;
pub mod users;
pub mod watermark;
pub mod words;

use std::sync::Arc;

use model::Projection;

/// The shop's row projections; they share one database and one transaction per batch. The sagas crate adds its own; search
/// stands apart, in an index.
#[must_use]
pub fn shop() -> Vec<Arc<dyn Projection>> {
    vec![
        Arc::new(events::Events),
        Arc::new(inventory::Inventory),
        Arc::new(orders::Orders),
        Arc::new(payments::Payments),
        Arc::new(products::Products),
        Arc::new(shipments::Shipments),
        Arc::new(users::Users),
    ]
}
