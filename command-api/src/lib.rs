#![doc = include_str!("../README.md")]

mod catalogue;
pub mod fulfilment;
pub mod identity;
mod inventory;
pub mod leases;
pub mod ordering;
pub mod owner;
pub mod payments;
pub mod peers;
pub mod repository;
mod shipping;
pub mod web;

use std::sync::Arc;

use fulfilment::Fulfilments;
use web::CommandState;
use web::routes::Routes;

/// The command side's operations, which end what is stuck by the words of `fulfilments`; the query side has its own.
#[must_use]
pub fn routes(fulfilments: Arc<dyn Fulfilments>) -> Routes<CommandState> {
    Routes::of(web::openapi::base())
        .merge(identity::routes())
        .merge(catalogue::routes())
        .merge(inventory::routes())
        .merge(ordering::routes())
        .merge(payments::routes())
        .merge(shipping::routes())
        .merge(fulfilment::routes(fulfilments))
}

#[cfg(test)]
mod tests;
