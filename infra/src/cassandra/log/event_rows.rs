//! The rows of `events_by_stream`: which partition an event's row stands in, and what it holds.

use domain::Timestamp;
use domain::event::{RecordedEvent, wire_time};
use domain::ports::log::LogError;
use domain::position::Shard;
use domain::stream::StreamId;
use serde::{Deserialize, Serialize};

use crate::cassandra::connect::corrupt;

/// Versions of a stream in a partition of the table `events_by_stream`, which streams of the same prefix share.
const STREAM_BUCKET: u64 = 1024;

/// The bucket that holds a version.
pub(super) fn stream_bucket(version: u64) -> i64 {
    (version.saturating_sub(1) / STREAM_BUCKET) as i64
}

/// What streams that share partitions have in common: they were made within the same 256 ms, which the first 40 bits of a UUIDv7
/// tell; any other id stands alone. New streams are written together, so their rows are few writes instead of one each, and
/// partitions stay small however many streams a store has.
pub(super) fn id_prefix(id: &str) -> &str {
    const VERSION: usize = 14;
    const PREFIX: usize = 11;
    let is_v7 = id.len() == 36 && id.as_bytes()[VERSION] == b'7' && uuid::Uuid::try_parse(id).is_ok();
    if is_v7 { &id[..PREFIX] } else { id }
}

/// A partition of the table `events_by_stream` within a shard.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Partition<'a> {
    pub(super) tenant: &'a str,
    pub(super) prefix: &'a str,
    pub(super) bucket: i64,
}

impl<'a> Partition<'a> {
    pub(super) fn of(stream: &'a StreamId, version: u64) -> Self {
        let (tenant, prefix) = (stream.tenant(), id_prefix(stream.id()));
        Self { tenant, prefix, bucket: stream_bucket(version) }
    }
}

/// A row of `events_by_stream`.
#[derive(scylla::SerializeRow)]
#[scylla(flavor = "enforce_order")]
pub(super) struct EventRow<'a> {
    shard: i32,
    tenant: &'a str,
    id_prefix: &'a str,
    bucket: i64,
    stream_type: &'a str,
    stream_id: &'a str,
    version: i64,
    position: i64,
    frame: i64,
    event: i32,
    event_id: uuid::Uuid,
    event_type: &'a str,
    schema_version: i32,
    pub(super) payload: &'a str,
    pub(super) metadata: String,
    time: Timestamp,
    #[scylla(rename = "[timestamp]")]
    stamp: i64,
}

impl<'a> EventRow<'a> {
    pub(super) fn new(
        shard: Shard,
        frame: u64,
        index: i32,
        event: &'a RecordedEvent,
        stamp: i64,
    ) -> Result<Self, LogError> {
        let Partition { tenant, prefix, bucket } = Partition::of(&event.stream, event.version);
        Ok(Self {
            shard: i32::from(shard.0),
            tenant,
            id_prefix: prefix,
            bucket,
            stream_type: event.stream.kind(),
            stream_id: event.stream.id(),
            version: event.version as i64,
            position: event.position.n as i64,
            frame: frame as i64,
            event: index,
            event_id: event.id,
            event_type: &event.event_type,
            schema_version: i32::from(event.schema_version),
            payload: &event.data,
            metadata: metadata(event)?,
            time: event.time,
            stamp,
        })
    }

    /// What brings rows of a partition together.
    pub(super) fn key(&self) -> (&str, &str, i64, &str, &str, i64) {
        (self.tenant, self.id_prefix, self.bucket, self.stream_type, self.stream_id, self.version)
    }
}

/// What a row of events keeps beside its columns.
#[derive(Serialize, Deserialize)]
pub(super) struct Metadata<'a> {
    pub(super) actor: std::borrow::Cow<'a, str>,
    pub(super) causation_id: uuid::Uuid,
    pub(super) correlation_id: uuid::Uuid,
    pub(super) time: String,
}

fn metadata(event: &RecordedEvent) -> Result<String, LogError> {
    let metadata = Metadata {
        actor: event.actor.as_str().into(),
        causation_id: event.causation_id,
        correlation_id: event.correlation_id,
        time: wire_time(event.time),
    };
    serde_json::to_string(&metadata).map_err(|e| corrupt(event.position, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_fill_their_buckets() {
        assert_eq!([1, STREAM_BUCKET, STREAM_BUCKET + 1].map(stream_bucket), [0, 0, 1]);
    }

    #[test]
    fn streams_made_together_share_a_prefix_and_other_ids_stand_alone() {
        assert_eq!(id_prefix("019aa1b2-c3d4-7000-8000-000000000001"), "019aa1b2-c3");
        assert_eq!(id_prefix("019aa1b2-c3ff-7fff-bfff-ffffffffffff"), "019aa1b2-c3");
        for alone in
            ["", "019aa1b2-c3", "019aa1b2-c3d4-4000-8000-000000000001", "é19aa1b2-c3d-7-8000-00000000000001"]
        {
            assert_eq!(id_prefix(alone), alone);
        }
        let long = "x".repeat(14) + "7" + &"x".repeat(21);
        assert_eq!(id_prefix(&long), long);
    }
}
