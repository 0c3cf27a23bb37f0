//! Frames for the tests of this crate's adapters.

use std::path::Path;
use std::sync::Arc;

use domain::command::{CommandId, digest_of};
use domain::event::{EventMeta, NewEvent, encode_event};
use domain::frame::{CommandRecord, DecidedFrame, EncodedFrame, Tail, encode_frame};
use domain::ports::log::{Decision, EventLog, LogReader};
use domain::position::Shard;
use domain::stream::{StreamId, draw_id_in_shard};
use uuid::Uuid;

use crate::sqlite::log::SqliteLog;

/// Shards of the stores here.
pub(crate) const SHARDS: u16 = 4;

/// A store of [`SHARDS`] shards.
pub(crate) fn open_log(dir: &Path) -> Arc<SqliteLog> {
    Arc::new(SqliteLog::open(dir, SHARDS).unwrap())
}

/// A new stream of a shard.
pub(crate) fn stream_in(shard: Shard) -> StreamId {
    StreamId::new("default", "order", draw_id_in_shard("default", "order", shard, SHARDS))
}

/// Builds one frame of a shard after the other. All events of one stream.
pub(crate) struct Chain {
    store: Uuid,
    pub(crate) stream: StreamId,
    pub(crate) tail: Tail,
    version: u64,
}

impl Chain {
    pub(crate) fn new(log: &SqliteLog, shard: Shard) -> Self {
        Self { store: log.store().id, stream: stream_in(shard), tail: Tail::empty(shard), version: 0 }
    }

    /// The next frame, of one command with `events` events; the chain goes on after it.
    pub(crate) fn next(&mut self, events: u64) -> EncodedFrame {
        let frame = self.rival(events, "decided");
        self.tail = Tail::after(&frame.header, frame.hash);
        self.version += events;
        frame
    }

    /// A frame for the same slot that the chain doesn't go on from.
    pub(crate) fn rival(&self, events: u64, note: &str) -> EncodedFrame {
        let command = CommandId::derived(&[&Uuid::new_v4().to_string()]);
        let stored = (1..=events).map(|n| {
            let meta = EventMeta {
                id: Uuid::now_v7(),
                time: domain::Timestamp::from_timestamp_micros(1_700_000_000_000_000).unwrap(),
                stream: &self.stream,
                version: self.version + n,
                correlation_id: command.0,
                causation_id: command.0,
                actor: "system:test",
            };
            let data = format!("{{\"note\":\"{note}\"}}");
            let mut out = Vec::new();
            encode_event(
                &meta,
                &NewEvent { event_type: "order.noted".into(), schema_version: 1, data },
                &mut out,
            );
            out
        });
        let record = CommandRecord {
            id: command,
            body_hash: digest_of(&[note]),
            first_event: 0,
            events,
            answer: note.as_bytes().to_vec(),
        };
        encode_frame(self.store, &self.tail, 1, Uuid::new_v4(), &stored.collect::<Vec<_>>(), &[record])
    }
}

/// Decides a frame, which must be the first for its slot.
pub(crate) async fn decide(log: &SqliteLog, frame: EncodedFrame) -> Arc<DecidedFrame> {
    let decoded = Arc::new(DecidedFrame::decode(&frame.bytes).unwrap());
    assert_eq!(log.propose(Arc::new(frame)).await, Ok(Decision::Decided));
    decoded
}

/// Writes the derived rows of frames.
pub(crate) async fn derive(log: &SqliteLog, shard: Shard, frames: Vec<Arc<DecidedFrame>>) {
    log.write_derived(shard, &frames).await.unwrap();
}
