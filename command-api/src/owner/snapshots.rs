//! Snapshots on their way to storage: best effort, beside everything else and in nobody's way. One that is too large, that storage
//! refuses, or for which there is no room is skipped and counted; a later one of its stream takes its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::ports::log::StoredSnapshot;
use domain::position::Shard;
use domain::stream::StreamId;
use futures::future::BoxFuture;

use super::Shared;
use super::figures::{Counter, Gauge, ShardFigures};
use super::streams::Entry;

/// What waits to be written takes so many times the largest snapshot at most.
const WAITING: usize = 4;

pub(super) struct Snapshots {
    shared: Arc<Shared>,
    shard: Shard,
    figures: Arc<ShardFigures>,
    /// The latest of each stream, with the frame after which it was taken.
    waiting: BTreeMap<StreamId, (u64, StoredSnapshot)>,
    /// Of those that wait, and of those that are being written.
    waiting_bytes: usize,
    writing_bytes: usize,
    writing: Option<BoxFuture<'static, ()>>,
}

impl Snapshots {
    pub(super) fn new(shared: Arc<Shared>, shard: Shard, figures: Arc<ShardFigures>) -> Self {
        let waiting = BTreeMap::new();
        Self { shared, shard, figures, waiting, waiting_bytes: 0, writing_bytes: 0, writing: None }
    }

    /// Takes a snapshot of a state, as it is after `frame`, if one is due.
    pub(super) fn take(&mut self, frame: u64, entry: &mut Entry) {
        let config = &self.shared.config;
        if !entry.snapshot_due(config.snapshot_every.max(1)) {
            return;
        }
        let (stream, most) = (entry.meta.stream.clone(), config.snapshot_bytes);
        // A state that can't fit isn't written out only to see that.
        let weight = entry.state.weight();
        if weight / 2 > most {
            return self.skip(entry, &stream, weight);
        }
        let contents = match entry.state.snapshot() {
            Ok(contents) => contents.stored_as(entry.state.fold_id()),
            Err(error) => {
                tracing::error!(%stream, %error, "no snapshot could be taken");
                return self.skip(entry, &stream, weight);
            }
        };
        let size = contents.state.len();
        let replaced = self.waiting.get(&stream).map_or(0, |(_, before)| before.contents.state.len());
        if size > most || self.waiting_bytes - replaced + self.writing_bytes + size > most * WAITING {
            return self.skip(entry, &stream, size);
        }
        entry.snapshot = (entry.meta.version, size);
        let snapshot = StoredSnapshot {
            version: entry.meta.version,
            created_at: entry.meta.created_at.timestamp_micros(),
            updated_at: entry.meta.updated_at.timestamp_micros(),
            contents,
        };
        self.waiting_bytes = self.waiting_bytes - replaced + size;
        self.waiting.insert(stream, (frame, snapshot));
        self.tell();
    }

    /// The next one is due when as many events have come again.
    fn skip(&self, entry: &mut Entry, stream: &StreamId, size: usize) {
        entry.snapshot = (entry.meta.version, size);
        self.figures.add(Counter::SnapshotsSkipped);
        tracing::debug!(%stream, size, "skipped a snapshot");
    }

    /// Starts writing those whose frames derived rows reach (P6), unless some are being written.
    pub(super) fn write_when_due(&mut self, derived_through: u64) {
        if self.writing.is_some() || self.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        let (due, later): (BTreeMap<_, _>, _) =
            waiting.into_iter().partition(|(_, (frame, _))| *frame <= derived_through);
        self.waiting = later;
        let due: Vec<_> = due.into_iter().map(|(stream, (_, snapshot))| (stream, snapshot)).collect();
        if due.is_empty() {
            return;
        }
        self.writing_bytes = due.iter().map(|(_, snapshot)| snapshot.contents.state.len()).sum();
        self.waiting_bytes -= self.writing_bytes;
        let (shared, shard, figures) = (Arc::clone(&self.shared), self.shard, Arc::clone(&self.figures));
        self.writing = Some(Box::pin(async move {
            // One by one, so that one that is refused costs no other.
            for snapshot in due {
                match shared.log.write_snapshots(shard, std::slice::from_ref(&snapshot)).await {
                    Ok(()) => figures.add(Counter::SnapshotsWritten),
                    Err(error) => {
                        figures.add(Counter::SnapshotsFailed);
                        let (stream, stored) = snapshot;
                        let size = stored.contents.state.len();
                        tracing::warn!(%shard, %stream, size, %error, "a snapshot was not kept");
                    }
                }
            }
        }));
    }

    /// Waits for what is being written; for ever when nothing is. May be dropped at any time.
    pub(super) async fn written(&mut self) {
        match &mut self.writing {
            Some(writing) => writing.await,
            None => return std::future::pending().await,
        }
        (self.writing, self.writing_bytes) = (None, 0);
        self.tell();
    }

    /// Writes all that are due, before a stop.
    pub(super) async fn finish(&mut self, derived_through: u64) {
        loop {
            self.write_when_due(derived_through);
            if self.writing.is_none() {
                return;
            }
            self.written().await;
        }
    }

    fn tell(&self) {
        self.figures.set(Gauge::SnapshotBytes, self.waiting_bytes + self.writing_bytes);
    }
}
