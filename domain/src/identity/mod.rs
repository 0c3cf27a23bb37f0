//! Identity: who there is, and who is signed in.

pub mod email_claim;
pub mod session;
pub mod user;

use crate::aggregate::Registry;

/// Adds its aggregates.
#[must_use]
pub fn aggregates(registry: Registry) -> Registry {
    registry.with::<email_claim::EmailClaim>().with::<session::Session>().with::<user::User>()
}
