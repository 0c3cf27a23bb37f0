//! The shop: the aggregates of Tillstream's core, one file each.

pub mod email_claim;
pub mod inventory;
pub mod names;
pub mod order;
pub mod payment;
pub mod product;
pub mod session;
pub mod shipment;
pub mod sku_claim;
#[cfg(test)]
mod testing;
pub mod upcasters;
pub mod user;

use crate::aggregate::Registry;

/// The registry of the shop's own aggregates; the sagas crate adds its sagas.
#[must_use]
pub fn registry() -> Registry {
    Registry::new(upcasters::shop())
        .with::<email_claim::EmailClaim>()
        .with::<inventory::Inventory>()
        .with::<order::Order>()
        .with::<payment::Payment>()
        .with::<product::Product>()
        .with::<session::Session>()
        .with::<shipment::Shipment>()
        .with::<sku_claim::SkuClaim>()
        .with::<user::User>()
}
