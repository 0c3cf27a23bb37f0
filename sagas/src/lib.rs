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

/// The registry of the shop's aggregates and the sagas, which deal with time as is usual.
#[must_use]
pub fn registry() -> Registry {
    registry_with(&config::FulfilmentConfig::default())
}

/// The registry of the shop's aggregates and the sagas.
#[must_use]
pub fn registry_with(fulfilment: &config::FulfilmentConfig) -> Registry {
    domain::shop::registry()
        .with::<fulfilment::state::Fulfilment>()
        .with_process(fulfilment::process::FulfilmentProcess { terms: fulfilment.terms() })
        .upcast_by(upcasters::chain())
}
