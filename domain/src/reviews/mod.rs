//! Reviews: what customers who bought a product say of it, and what comes of all of them.
//!
//! A review and the rating of its product lie in one shard, so that a review and what it counts for are one frame: the sum is never
//! behind, and never counts a review twice.

pub mod rating;
pub mod review;

use uuid::Uuid;

use crate::aggregate::Registry;
use crate::command::digest_of;
use crate::stream::{StreamId, derive_id_in_shard, derived_id};

/// Adds its aggregates, and what counts the one in the other.
#[must_use]
pub fn aggregates(registry: Registry) -> Registry {
    registry.with::<review::Review>().with::<rating::ProductRating>().with_process(rating::Counting)
}

/// The review of a product by a customer: always the same one, in the shard of the product's rating. The customer is given as a keyed digest
/// (see [`SubjectKeys::blind`](crate::ports::keys::SubjectKeys::blind)): everybody sees the id, and must not find out from it whose the
/// review is.
#[must_use]
pub fn review_of(tenant: &str, product_id: Uuid, customer: &str, shards: u16) -> StreamId {
    let shard = rating::stream(tenant, product_id).shard(shards);
    let product = product_id.to_string();
    let derived =
        |n: u32| derived_id(product_id, &digest_of(&["review", tenant, &product, customer, &n.to_string()]));
    let id = derive_id_in_shard(tenant, review::KIND, shard, shards, derived);
    StreamId::new(tenant, review::KIND, id)
}

#[cfg(test)]
mod tests;
