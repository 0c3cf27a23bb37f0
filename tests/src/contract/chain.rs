//! Builds the frames of a shard, one after the other, as an owner would.

use std::collections::HashMap;
use std::sync::Arc;

use domain::Timestamp;
use domain::command::{CommandId, digest_of};
use domain::event::{EventMeta, NewEvent, encode_event};
use domain::frame::{CommandRecord, DecidedFrame, EncodedFrame, Tail, encode_frame};
use domain::ports::log::{Decision, EventLog, StoreInfo};
use domain::position::Shard;
use domain::stream::{StreamId, draw_id_in_shard};
use uuid::Uuid;

/// The tail of a shard and the versions of its streams.
pub struct Chain {
    store: StoreInfo,
    /// Where the next frame goes.
    pub tail: Tail,
    versions: HashMap<StreamId, u64>,
    /// What further events say.
    pub note: String,
    /// The time of further events, microseconds since 1970.
    pub time: i64,
}

impl Chain {
    /// The chain of an empty shard.
    #[must_use]
    pub fn new(log: &dyn EventLog, shard: Shard) -> Self {
        let (tail, versions) = (Tail::empty(shard), HashMap::new());
        Self { store: log.store(), tail, versions, note: String::new(), time: 1_700_000_000_000_000 }
    }

    /// Events get at least so many bytes of payload from now on.
    #[must_use]
    pub fn padded(mut self, bytes: usize) -> Self {
        self.note = "x".repeat(bytes);
        self
    }

    /// A stream of this shard that has no event yet.
    #[must_use]
    pub fn stream(&self) -> StreamId {
        let shard = self.tail.slot.shard;
        StreamId::new("default", "order", draw_id_in_shard("default", "order", shard, self.store.shards))
    }

    /// A frame for the next slot, with one command for each (stream, number of events). The chain stays where it is.
    #[must_use]
    pub fn proposal(&self, commands: &[(&StreamId, u64)]) -> EncodedFrame {
        let mut versions = self.versions.clone();
        let (mut events, mut records) = (Vec::new(), Vec::new());
        for (stream, count) in commands {
            let id = CommandId::fresh().repeatable();
            let first_event = events.len() as u64;
            for _ in 0..*count {
                let version = versions.entry((*stream).clone()).or_default();
                *version += 1;
                let meta = EventMeta {
                    id: Uuid::now_v7(),
                    time: Timestamp::from_timestamp_micros(self.time).unwrap_or_default(),
                    stream,
                    version: *version,
                    correlation_id: id.0,
                    causation_id: id.0,
                    actor: "system:contract",
                };
                let data = format!("{{\"note\":\"{}\"}}", self.note);
                let mut bytes = Vec::new();
                encode_event(
                    &meta,
                    &NewEvent { event_type: "order.noted".into(), schema_version: 1, data },
                    &mut bytes,
                );
                events.push(bytes);
            }
            let answer = format!("{{\"id\":\"{}\"}}", stream.id()).into_bytes();
            let body_hash = digest_of(&[stream.id()]);
            records.push(CommandRecord { id, body_hash, first_event, events: *count, answer });
        }
        encode_frame(self.store.id, &self.tail, self.tail.epoch.max(1), Uuid::new_v4(), &events, &records)
    }

    /// Goes on after a frame that was decided.
    pub fn advance(&mut self, frame: &EncodedFrame) {
        let decided = decoded(frame);
        for event in &decided.events {
            self.versions.insert(event.stream.clone(), event.version);
        }
        self.tail = Tail::after(&frame.header, frame.hash);
    }

    /// The next frame, decided, and the chain after it.
    pub async fn decide(&mut self, log: &dyn EventLog, commands: &[(&StreamId, u64)]) -> Arc<DecidedFrame> {
        let frame = self.proposal(commands);
        self.advance(&frame);
        let decided = decoded(&frame);
        assert_eq!(log.propose(Arc::new(frame)).await, Ok(Decision::Decided));
        decided
    }
}

/// The frame as it is read back.
#[must_use]
pub fn decoded(frame: &EncodedFrame) -> Arc<DecidedFrame> {
    Arc::new(DecidedFrame::decode(&frame.bytes).expect("a frame that was just encoded"))
}
