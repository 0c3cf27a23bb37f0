#![doc = include_str!("../README.md")]

pub mod changes;
pub mod config;
pub mod fulfilment;
pub mod ids;
pub mod ports;
pub mod projection;
pub mod upcasters;
pub mod work;
pub mod worker;

use domain::aggregate::Registry;

/// The registry of the shop's aggregates and the sagas.
#[must_use]
pub fn registry() -> Registry {
    domain::shop::registry().with::<fulfilment::state::Fulfilment>().upcast_by(upcasters::chain())
}
