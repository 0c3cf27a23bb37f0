//! The aggregates of all contexts.

use crate::aggregate::Registry;
use crate::catalogue::{product, sku_claim};
use crate::identity::{email_claim, session, user};
use crate::inventory;
use crate::ordering::order;
use crate::payments::payment;
use crate::shipping::shipment;

/// The registry of the shop's own aggregates; the sagas crate adds its sagas.
#[must_use]
pub fn registry() -> Registry {
    Registry::default()
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
