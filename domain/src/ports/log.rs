//! The event log's port. Everything above it (frame loop, batching, cache, overlay) is written once, in `command-api`.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use crate::aggregate::SnapshotState;
use crate::command::CommandId;
use crate::event::RecordedEvent;
use crate::frame::{CommandRecord, DecidedFrame, EncodedFrame, FrameView, Slot, WireError};
use crate::merkle::Hash;
use crate::position::{Position, Shard};
use crate::stream::StreamId;

/// Why the log can't answer a read or a derived write: nothing is lost, repeat later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Storage can't be reached, is full, read-only or broken.
    #[error("log storage is unavailable: {0}")]
    Unavailable(String),
    /// Stored bytes can't be read.
    #[error("{0} can't be read: {1}")]
    Corrupt(String, String),
}

/// What is known of a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The slot holds the proposed bytes.
    Decided,
    /// The slot holds this other row.
    Taken(Vec<u8>),
}

/// Why a proposal has no decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Nothing was written and nothing will be: the slot is as it was.
    #[error("the proposal was refused by storage: {0}")]
    NotWritten(String),
    /// The write may have landed, may land later, or never: send identical bytes again (P3).
    #[error("the outcome of the proposal is unknown: {0}")]
    Unknown(String),
}

/// The identity of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreInfo {
    /// Random, made with the store; part of every frame's hash.
    pub id: Uuid,
    /// N, fixed when the store was created.
    pub shards: u16,
}

/// How far the work behind the log has come in a shard. Claims only finished work (P6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Derived rows of all frames up to this one are written; 0 for none.
    pub derived_through: u64,
    /// The feed has all frames up to this one; 0 for none.
    pub published_through: u64,
    /// A frame known to be decided; finding the tail starts here.
    pub tail_hint: u64,
}

/// Where an accepted command stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandResult {
    /// The frame that holds it.
    pub frame: u64,
    /// The position that its answer's Sync-Token names.
    pub position: Position,
    /// The frame's own record.
    pub record: CommandRecord,
}

/// The snapshots of a stream that are read: those of the two folds that are kept, and one of before folds had names.
pub const KEPT_FOLDS: usize = 3;

/// A stored snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// The stream's version that it holds.
    pub version: u64,
    /// When the stream's first event was decided, microseconds since 1970.
    pub created_at: i64,
    /// When the event at `version` was decided, microseconds since 1970.
    pub updated_at: i64,
    /// The contents.
    pub contents: SnapshotState,
}

/// What a shard's derived rows hold up to some frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DerivedRows {
    /// A digest of them, whatever their order.
    pub digest: Hash,
    /// The last frame that any row names, also above the bound; 0 without rows.
    pub last_frame: u64,
}

/// How a backend keeps frames together: those of a shard whose numbers, divided by `frames`, are the same are one partition. Which partition a
/// slot is in never depends on anything else, so that all proposers agree on it; how large a partition grows is for owners to bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partitions {
    /// Frames of a partition.
    pub frames: u64,
    /// The most bytes that a partition should have.
    pub bytes: u64,
}

/// Reading decided frames: all that feeds, rebuilds, auditors and verifiers need.
#[async_trait]
pub trait LogReader: Send + Sync + 'static {
    /// The store's identity.
    fn store(&self) -> StoreInfo;

    /// The decided frames from frame number `from` on, in order, without a hole: at most `limit` frames, and at most about
    /// `max_bytes` (but at least one frame when there is one).
    ///
    /// # Errors
    /// [`LogError`].
    async fn read_frames(
        &self,
        shard: Shard,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Vec<u8>>, LogError>;

    /// The number of the frame that holds position `n`; of the first frame after it when no such position is decided, and
    /// that is the tail when there is none.
    ///
    /// # Errors
    /// [`LogError`].
    async fn frame_of_position(&self, position: Position) -> Result<u64, LogError>;

    /// The shard's last decided position, n = 0 when it has none.
    ///
    /// # Errors
    /// [`LogError`].
    async fn head(&self, shard: Shard) -> Result<Position, LogError> {
        let tail = self.frame_of_position(Position { shard, n: u64::MAX }).await?;
        let last = if tail > 1 { self.read_frames(shard, tail - 1, 1, 0).await? } else { Vec::new() };
        let Some(bytes) = last.first() else { return Ok(Position { shard, n: 0 }) };
        let unreadable =
            |e: WireError| LogError::Corrupt(Slot { shard, frame: tail - 1 }.to_string(), e.to_string());
        Ok(Position { shard, n: FrameView::parse(bytes).map_err(unreadable)?.header.last_position() })
    }

    /// The events of a stream after a version, in order, from derived rows: complete up to `derived_through`.
    ///
    /// # Errors
    /// [`LogError`].
    async fn read_stream(
        &self,
        stream: &StreamId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, LogError>;
}

/// The event log.
#[async_trait]
pub trait EventLog: LogReader {
    /// How frames are kept together; `None` where it makes no difference.
    fn partitions(&self) -> Option<Partitions> {
        None
    }

    /// Proposes a frame for its slot: one conditional write.
    ///
    /// # Errors
    /// [`ProposeError`]; an unknown outcome must not be reported as not written.
    async fn propose(&self, frame: Arc<EncodedFrame>) -> Result<Decision, ProposeError>;

    /// The row of a slot by a serial read, which completes or excludes writes that began before it ended as far as the
    /// engine can.
    ///
    /// # Errors
    /// [`LogError`].
    async fn read_slot(&self, slot: Slot) -> Result<Option<Vec<u8>>, LogError>;

    /// How far the work behind the log has come.
    ///
    /// # Errors
    /// [`LogError`].
    async fn progress(&self, shard: Shard) -> Result<Progress, LogError>;

    /// Writes the derived rows of a run of frames, in order, and, with them or after them, advances `derived_through` and `tail_hint` to the last frame.
    /// Writing the same rows again changes nothing.
    ///
    /// # Errors
    /// [`LogError`].
    async fn write_derived(&self, shard: Shard, frames: &[Arc<DecidedFrame>]) -> Result<(), LogError>;

    /// Advances `published_through`.
    ///
    /// # Errors
    /// [`LogError`].
    async fn write_published(&self, shard: Shard, frame: u64) -> Result<(), LogError>;

    /// Keeps snapshots of streams, of versions whose derived rows are written: best effort, since a load does without. Of each
    /// fold the latest one stays, and of the folds the two that were written to last, so that two programs that take turns, as in a
    /// rollout that is taken back, find their own.
    ///
    /// # Errors
    /// [`LogError`]; each of them may have been kept or not.
    async fn write_snapshots(
        &self,
        shard: Shard,
        snapshots: &[(StreamId, StoredSnapshot)],
    ) -> Result<(), LogError>;

    /// The latest snapshots of a stream, newest first, of different folds: at most [`KEPT_FOLDS`].
    ///
    /// # Errors
    /// [`LogError`].
    async fn read_snapshots(&self, stream: &StreamId) -> Result<Vec<StoredSnapshot>, LogError>;

    /// An accepted command, from derived rows: complete up to `derived_through`.
    ///
    /// # Errors
    /// [`LogError`].
    async fn command_result(&self, shard: Shard, id: CommandId) -> Result<Option<CommandResult>, LogError>;

    /// Drops every derived row of the shard and sets `derived_through` back to 0: an operator's repair (P5).
    ///
    /// # Errors
    /// [`LogError`].
    async fn drop_derived(&self, shard: Shard) -> Result<(), LogError>;

    /// The last position of each frame from frame number `from` on, at most `limit`, as the index behind
    /// [`LogReader::frame_of_position`] has it; `None` when the backend keeps none beside the frames. It is an aid and no proof:
    /// the verifier compares it with the frames.
    ///
    /// # Errors
    /// [`LogError`].
    async fn indexed_positions(
        &self,
        _shard: Shard,
        _from: u64,
        _limit: usize,
    ) -> Result<Option<Vec<u64>>, LogError> {
        Ok(None)
    }

    /// What the derived rows of every shard (pointers, command results; not snapshots) hold of the frames up to a bound, one for each
    /// shard; in one scan where a backend can't tell shards apart without one. Bounds at or below `derived_through` make the answer the
    /// same however much is written meanwhile. `key` keeps forged rows from having the same digest.
    ///
    /// # Errors
    /// [`LogError`].
    async fn derived_rows(&self, key: &Hash, bounds: &[u64]) -> Result<Vec<DerivedRows>, LogError>;

    /// A digest over all derived rows of a shard, for comparison after a rewrite.
    ///
    /// # Errors
    /// [`LogError`].
    async fn derived_digest(&self, shard: Shard) -> Result<Hash, LogError> {
        let everything = vec![u64::MAX; usize::from(self.store().shards)];
        let rows = self.derived_rows(&[0; 32], &everything).await?;
        let none = || LogError::Corrupt(format!("shard {shard}"), "there is no such shard".to_owned());
        rows.get(usize::from(shard.0)).map(|rows| rows.digest).ok_or_else(none)
    }
}
