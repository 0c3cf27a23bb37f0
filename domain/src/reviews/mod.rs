//! Reviews: what customers who bought a product say of it, and what comes of all of them.
//!
//! A review and the rating of its product lie in one shard, so that a review and what it counts for are one frame: the sum is never
//! behind, and never counts a review twice.

pub mod rating;
pub mod review;

use uuid::Uuid;

use crate::aggregate::Registry;
use crate::command::digest_of;
use crate::stream::{StreamId, shard_of_parts};

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
    let mut buffer = Uuid::encode_buffer();
    // Whether one of them falls there is a matter of chance, so this ends.
    let mut n = 1_u32;
    loop {
        let digest = digest_of(&["review", tenant, &product, customer, &n.to_string()]);
        let mut bytes = *product_id.as_bytes();
        bytes[6..].copy_from_slice(&digest[..10]);
        bytes[6] = (bytes[6] & 0x0f) | 0x70;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let id = Uuid::from_bytes(bytes);
        if shard_of_parts([tenant, review::KIND, id.hyphenated().encode_lower(&mut buffer)], shards) == shard
        {
            return StreamId::new(tenant, review::KIND, id);
        }
        n += 1;
    }
}

#[cfg(test)]
mod tests;
