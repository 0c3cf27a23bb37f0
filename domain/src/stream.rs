//! Streams and the shard each one lives in.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::position::Shard;

/// The tenant of installations that have only one.
pub const DEFAULT_TENANT: &str = "default";

/// The stream of one aggregate: (tenant, aggregate type, id). Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(Arc<Parts>);

#[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Parts {
    tenant: Box<str>,
    kind: Box<str>,
    id: Box<str>,
}

impl StreamId {
    /// The stream of the aggregate `id` of type `kind`.
    #[must_use]
    pub fn new(tenant: &str, kind: &str, id: impl fmt::Display) -> Self {
        Self(Arc::new(Parts { tenant: tenant.into(), kind: kind.into(), id: id.to_string().into() }))
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.0.tenant
    }

    /// The aggregate type, as on the wire: `order`, `inventory`, …
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// The aggregate's id within its type.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The shard of this stream in a store of `shards` shards, for ever the same: the first eight bytes, big-endian,
    /// of SHA-256(tenant ‖ 0 ‖ type ‖ 0 ‖ id), modulo the number of shards.
    #[must_use]
    pub fn shard(&self, shards: u16) -> Shard {
        shard_of_parts([self.tenant(), self.kind(), self.id()], shards)
    }
}

/// The shard of the stream with this tenant, type and id.
pub(crate) fn shard_of_parts(parts: [&str; 3], shards: u16) -> Shard {
    let mut hash = Sha256::new();
    hash.update(parts[0]);
    hash.update([0]);
    hash.update(parts[1]);
    hash.update([0]);
    hash.update(parts[2]);
    shard_of_digest(&hash.finalize(), shards)
}

/// The shard that a digest picks: its first eight bytes, big-endian, modulo the number of shards.
#[must_use]
pub fn shard_of_digest(digest: &[u8], shards: u16) -> Shard {
    let mut head = [0_u8; 8];
    head.copy_from_slice(&digest[..8]);
    let n = u64::from_be_bytes(head) % u64::from(shards.max(1));
    // The remainder is below `shards`, which is a u16.
    Shard(n as u16)
}

/// Draws UUIDv7s until the stream of one falls in `shard`: on average `shards` draws.
#[must_use]
pub fn draw_id_in_shard(tenant: &str, kind: &str, shard: Shard, shards: u16) -> Uuid {
    draw_id_for_all(tenant, &[kind], shard, shards)
}

/// Draws a UUIDv7 with which streams of all these types fall in `shard`: on average `shards` to the power of their number draws.
#[must_use]
pub fn draw_id_for_all(tenant: &str, kinds: &[&str], shard: Shard, shards: u16) -> Uuid {
    let mut buffer = Uuid::encode_buffer();
    let drawn = Uuid::now_v7().as_u128();
    // The last 62 bits are random: the next numbers among them are as good as new ones, and cheaper.
    const RANDOM: u128 = (1 << 62) - 1;
    let mut n = drawn & RANDOM;
    loop {
        let id = Uuid::from_u128((drawn & !RANDOM) | n);
        let text: &str = id.hyphenated().encode_lower(&mut buffer);
        if kinds.iter().all(|kind| shard_of_parts([tenant, kind, text], shards) == shard) {
            return id;
        }
        n = (n + 1) & RANDOM;
    }
}

/// A UUIDv7 with the time of another and random bits from a digest.
pub(crate) fn derived_id(like: Uuid, digest: &[u8; 32]) -> Uuid {
    let mut bytes = *like.as_bytes();
    bytes[6..].copy_from_slice(&digest[..10]);
    bytes[6] = (bytes[6] & 0x0f) | 0x70;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    Uuid::from_bytes(bytes)
}

/// The first of derived ids, numbered from 1, with which a stream of this type falls in `shard`: always the same one.
pub(crate) fn derive_id_in_shard(
    tenant: &str,
    kind: &str,
    shard: Shard,
    shards: u16,
    derived: impl Fn(u32) -> Uuid,
) -> Uuid {
    let mut buffer = Uuid::encode_buffer();
    // Whether any of them falls there is a matter of chance, so this ends.
    let mut n = 1;
    loop {
        let id = derived(n);
        let text: &str = id.hyphenated().encode_lower(&mut buffer);
        if shard_of_parts([tenant, kind, text], shards) == shard {
            return id;
        }
        n += 1;
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tenant(), self.kind(), self.id())
    }
}

/// Between machines: `[tenant, type, id]`.
impl Serialize for StreamId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.tenant(), self.kind(), self.id()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StreamId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (tenant, kind, id) = <(String, String, String)>::deserialize(deserializer)?;
        Ok(Self::new(&tenant, &kind, id))
    }
}

/// The wire form of a stream inside an event: `{type, id}`; the tenant stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRef {
    /// The aggregate type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The aggregate's id.
    pub id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_keeps_its_shard_for_ever() {
        // Changing any of these moves stored streams: the stored format is frozen.
        let shard = |kind, id| StreamId::new("default", kind, id).shard(16).0;
        assert_eq!(
            [shard("order", "a"), shard("order", "b"), shard("inventory", "a"), shard("payment", "x")],
            [0, 7, 7, 5]
        );
    }

    #[test]
    fn drawn_ids_fall_in_the_shard_asked_for() {
        for n in 0..16 {
            let id = draw_id_in_shard("default", "order", Shard(n), 16);
            assert_eq!(StreamId::new("default", "order", id).shard(16), Shard(n));
            let id = draw_id_for_all("default", &["order", "fulfilment"], Shard(n), 16);
            assert!(
                ["order", "fulfilment"]
                    .iter()
                    .all(|kind| StreamId::new("default", kind, id).shard(16) == Shard(n))
            );
            assert_eq!(id.get_version(), Some(uuid::Version::SortRand));
        }
    }

    #[test]
    fn drawn_ids_differ() {
        let ids: std::collections::HashSet<_> =
            (0..1_000).map(|_| draw_id_in_shard("default", "order", Shard(1), 4)).collect();
        assert_eq!(ids.len(), 1_000);
    }
}
