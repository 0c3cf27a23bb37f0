//! The event log on SQLite: `log.db` holds the frames and nothing else, `derived.db` what can be made from them again.
//!
//! One thread writes `log.db`. It takes all proposals that wait, of whatever shards, and commits them together: one fsync
//! serves them all, and while it runs the next batch gathers, without a timer. Derived rows are written by a thread of their own
//! into the second file, which never waits for the disk: losing its tail in a power cut costs rework only (P6).

mod derived;
mod lookups;
mod open;
mod reads;
mod scan;
mod snapshots;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use domain::command::CommandId;
use domain::event::RecordedEvent;
use domain::frame::{DecidedFrame, EncodedFrame, Slot};
use domain::merkle::Hash;
use domain::ports::log::{
    CommandResult, Decision, DerivedRows, EventLog, LogError, LogReader, Progress, ProposeError, StoreInfo,
    StoredSnapshot,
};
use domain::position::{Position, Shard};
use domain::stream::StreamId;

use self::lookups::Lookups;
pub use self::open::{OpenError, holds_no_log};
use self::reads::ReadPool;
use self::scan::ScanPlace;
use self::writer::WriterHandle;
use super::connection::is_broken;
use super::thread::{DbThread, Stopped};
use crate::derived_digest::DerivedDigest;

/// The log's file in the data directory.
pub const LOG_FILE: &str = "log.db";
/// The derived rows' file in the data directory.
pub const DERIVED_FILE: &str = "derived.db";

/// Frame numbers stay below this, so that shard and frame share one 64-bit key.
const MAX_FRAME: u64 = (1 << 48) - 1;

/// The key of a slot in the table `log`.
fn key(shard: Shard, frame: u64) -> i64 {
    // Both fit: MAX_SHARDS is below 2^15.
    (i64::from(shard.0) << 48) | (frame.min(MAX_FRAME) as i64)
}

/// The frame number in a key.
fn frame_of_key(key: i64) -> u64 {
    key as u64 & MAX_FRAME
}

/// What a failed statement means to the caller of the port.
fn log_error(file: &str, error: &rusqlite::Error) -> LogError {
    if is_broken(error) {
        LogError::Corrupt(file.to_owned(), error.to_string())
    } else {
        LogError::Unavailable(format!("{file}: {error}"))
    }
}

impl From<Stopped> for LogError {
    fn from(stopped: Stopped) -> Self {
        Self::Unavailable(stopped.to_string())
    }
}

/// The event log in a data directory. The caller holds the directory's lock ([`crate::data_dir::DataDir`]) for as long as this
/// value lives. Dropping it ends its threads and closes the files.
pub struct SqliteLog {
    store: StoreInfo,
    // The order matters when dropped: readers first, so that a writer is the last to close and leaves no journal behind.
    reads: Arc<ReadPool>,
    lookups: Arc<Lookups>,
    writer: WriterHandle,
    derived: DbThread,
    derived_broken: Arc<derived::BrokenMark>,
}

impl SqliteLog {
    /// Opens the store in `dir`, making it with a random id and `shards` shards when there is none.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::OtherShards`] when the store was made with another number of shards.
    pub fn open(dir: &Path, shards: u16) -> Result<Self, OpenError> {
        open::open(dir, Some(shards))
    }

    /// Opens the store in `dir` with whatever number of shards it was made with.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Missing`] when there is none.
    pub fn open_existing(dir: &Path) -> Result<Self, OpenError> {
        open::open(dir, None)
    }

    fn known(&self, shard: Shard) -> Result<(), LogError> {
        if shard.0 < self.store.shards {
            return Ok(());
        }
        let reason = format!("the store has {} shards", self.store.shards);
        Err(LogError::Corrupt(format!("shard {shard}"), reason))
    }
}

#[async_trait]
impl LogReader for SqliteLog {
    fn store(&self) -> StoreInfo {
        self.store
    }

    async fn read_frames(
        &self,
        shard: Shard,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Vec<u8>>, LogError> {
        self.reads.run(move |files| reads::frames(files, shard, from, limit, max_bytes)).await
    }

    async fn frame_of_position(&self, position: Position) -> Result<u64, LogError> {
        self.reads.run(move |files| reads::frame_of_position(files, position)).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, LogError> {
        let (stream, shard) = (stream.clone(), stream.shard(self.store.shards));
        self.reads.run(move |files| reads::stream(files, shard, &stream, after, limit)).await
    }
}

#[async_trait]
impl EventLog for SqliteLog {
    async fn propose(&self, frame: Arc<EncodedFrame>) -> Result<Decision, ProposeError> {
        self.writer.propose(frame).await
    }

    async fn read_slot(&self, slot: Slot) -> Result<Option<Vec<u8>>, LogError> {
        self.known(slot.shard)?;
        self.writer.read_slot(slot).await
    }

    async fn progress(&self, shard: Shard) -> Result<Progress, LogError> {
        self.reads.run(move |files| reads::progress(files, shard)).await
    }

    async fn write_derived(&self, shard: Shard, frames: &[Arc<DecidedFrame>]) -> Result<(), LogError> {
        self.known(shard)?;
        let frames = frames.to_vec();
        self.write(move |conn| derived::write(conn, shard, &frames)).await
    }

    async fn write_published(&self, shard: Shard, frame: u64) -> Result<(), LogError> {
        self.known(shard)?;
        self.write(move |conn| derived::write_published(conn, shard, frame)).await
    }

    async fn write_snapshots(
        &self,
        shard: Shard,
        snapshots: &[(StreamId, StoredSnapshot)],
    ) -> Result<(), LogError> {
        self.known(shard)?;
        let (snapshots, shards) = (snapshots.to_vec(), self.store.shards);
        self.write(move |conn| snapshots::write(conn, shard, shards, &snapshots)).await
    }

    async fn read_snapshots(&self, stream: &StreamId) -> Result<Vec<StoredSnapshot>, LogError> {
        let (stream, shard) = (stream.clone(), stream.shard(self.store.shards));
        self.reads.run(move |files| reads::snapshots(files, shard, &stream)).await
    }

    async fn command_result(&self, shard: Shard, id: CommandId) -> Result<Option<CommandResult>, LogError> {
        self.lookups.find(&self.reads, shard, id).await
    }

    async fn drop_derived(&self, shard: Shard) -> Result<(), LogError> {
        self.known(shard)?;
        self.write(move |conn| derived::drop_rows(conn, shard)).await
    }

    async fn indexed_positions(
        &self,
        shard: Shard,
        from: u64,
        limit: usize,
    ) -> Result<Option<Vec<u64>>, LogError> {
        self.reads.run(move |files| reads::last_positions(files, shard, from, limit).map(Some)).await
    }

    async fn derived_rows(&self, key: &Hash, bounds: &[u64]) -> Result<Vec<DerivedRows>, LogError> {
        let mut rows = Vec::with_capacity(bounds.len());
        for (shard, bound) in (0..).map(Shard).zip(bounds.iter().copied()) {
            let (mut digest, mut place) = (DerivedDigest::new(key), ScanPlace::start());
            while !matches!(place, ScanPlace::Done) {
                let page = self.reads.run(move |files| {
                    let next = scan::page(files, shard, place, bound, &mut digest)?;
                    Ok((digest, next))
                });
                (digest, place) = page.await?;
            }
            rows.push(digest.finish());
        }
        Ok(rows)
    }
}

impl SqliteLog {
    /// Runs a write on the thread of `derived.db`.
    async fn write(
        &self,
        job: impl FnOnce(&mut rusqlite::Connection) -> Result<(), derived::WriteError> + Send + 'static,
    ) -> Result<(), LogError> {
        let mark = self.derived_broken.clone();
        self.derived.run(move |conn| job(conn).map_err(|e| e.report(&mark))).await?
    }
}
