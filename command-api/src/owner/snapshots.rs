//! Snapshots on their way to storage: best effort, beside everything else and in nobody's way. One that is too large, that storage
//! refuses, or for which there is no room is skipped and counted; a later one of its stream takes its place.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use domain::ports::log::StoredSnapshot;
use domain::position::Shard;
use domain::stream::StreamId;
use futures::future::BoxFuture;

use super::OwnerShared;
use super::figures::ShardFigures;
use super::streams;

/// What waits to be written takes so many times the largest snapshot at most.
const WAITING: usize = 4;

/// A snapshot, and the frame after which it was taken.
type Taken = (u64, StoredSnapshot);

struct Pair {
    first: Taken,
    latest: Option<Taken>,
}

fn size(taken: &Taken) -> usize {
    taken.1.contents.state.len()
}

impl Pair {
    /// The latest whose frame derived rows reach (P6); and what waits on.
    fn due(self, derived_through: u64) -> (Option<Taken>, Option<Self>) {
        let reached = |taken: &Taken| taken.0 <= derived_through;
        match self {
            Self { latest: Some(latest), .. } if reached(&latest) => (Some(latest), None),
            Self { first, latest } if reached(&first) => {
                (Some(first), latest.map(|first| Self { first, latest: None }))
            }
            waiting => (None, Some(waiting)),
        }
    }

    fn bytes(&self) -> usize {
        size(&self.first) + self.latest.as_ref().map_or(0, size)
    }
}

pub(super) struct Snapshots {
    shared: Arc<OwnerShared>,
    shard: Shard,
    figures: Arc<ShardFigures>,
    /// Of each stream the first one, so that its turn comes however fast the stream grows, and the latest one.
    waiting: BTreeMap<StreamId, Pair>,
    /// Of those that wait, and of those that are being written.
    waiting_bytes: usize,
    writing_bytes: usize,
    writing: Option<BoxFuture<'static, ()>>,
    /// Up to this frame, those that were due have been taken: whatever waits is of a later one.
    looked: u64,
}

impl Snapshots {
    pub(super) fn new(shared: Arc<OwnerShared>, shard: Shard, figures: Arc<ShardFigures>) -> Self {
        Self {
            shared,
            shard,
            figures,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            writing_bytes: 0,
            writing: None,
            looked: 0,
        }
    }

    /// Takes a snapshot of a state, as it is after `frame`, if one is due.
    pub(super) fn take(&mut self, frame: u64, entry: &mut streams::Entry) {
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
        let before = self.waiting.get(&stream).and_then(|pair| pair.latest.as_ref());
        let replaced = before.map_or(0, self::size);
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
        match self.waiting.entry(stream) {
            Entry::Vacant(place) => {
                place.insert(Pair { first: (frame, snapshot), latest: None });
            }
            Entry::Occupied(mut pair) => pair.get_mut().latest = Some((frame, snapshot)),
        }
        self.tell();
    }

    /// The next one is due when as many events have come again.
    fn skip(&self, entry: &mut streams::Entry, stream: &StreamId, size: usize) {
        entry.snapshot = (entry.meta.version, size);
        self.figures.snapshots_skipped.increment(1);
        tracing::debug!(%stream, size, "skipped a snapshot");
    }

    /// Starts writing those whose frames derived rows reach (P6), unless some are being written.
    pub(super) fn write_when_due(&mut self, derived_through: u64) {
        if self.writing.is_some() || self.waiting.is_empty() || self.looked == derived_through {
            return;
        }
        self.looked = derived_through;
        let mut due = Vec::new();
        for (stream, pair) in std::mem::take(&mut self.waiting) {
            let (taken, waiting) = pair.due(derived_through);
            due.extend(taken.map(|(_, snapshot)| (stream.clone(), snapshot)));
            if let Some(waiting) = waiting {
                self.waiting.insert(stream, waiting);
            }
        }
        self.waiting_bytes = self.waiting.values().map(Pair::bytes).sum();
        if due.is_empty() {
            return;
        }
        self.writing_bytes = due.iter().map(|(_, snapshot)| snapshot.contents.state.len()).sum();
        let (shared, shard, figures) = (Arc::clone(&self.shared), self.shard, Arc::clone(&self.figures));
        self.writing = Some(Box::pin(async move {
            // One by one, so that one that is refused costs no other.
            for snapshot in due {
                match shared.log.write_snapshots(shard, std::slice::from_ref(&snapshot)).await {
                    Ok(()) => figures.snapshots.increment(1),
                    Err(error) => {
                        figures.snapshots_failed.increment(1);
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
        self.figures.snapshot_bytes.set((self.waiting_bytes + self.writing_bytes) as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(frame: u64) -> Taken {
        let contents = domain::aggregate::SnapshotState { state: "{}".into(), fold: [0; 32] };
        (frame, StoredSnapshot { version: frame, created_at: 0, updated_at: 0, contents })
    }

    fn due(first: u64, latest: Option<u64>, through: u64) -> (Option<u64>, Option<(u64, Option<u64>)>) {
        let pair = Pair { first: taken(first), latest: latest.map(taken) };
        let (due, waiting) = pair.due(through);
        let frame = |taken: &Taken| taken.0;
        (
            due.as_ref().map(frame),
            waiting.as_ref().map(|pair| (frame(&pair.first), pair.latest.as_ref().map(frame))),
        )
    }

    // proves: P6
    #[test]
    fn of_a_stream_that_grows_all_the_time_the_turn_of_the_first_comes() {
        assert_eq!(due(5, Some(9), 4), (None, Some((5, Some(9)))));
        assert_eq!(due(5, Some(9), 5), (Some(5), Some((9, None))));
        assert_eq!(due(5, Some(9), 9), (Some(9), None));
        assert_eq!(due(5, None, 5), (Some(5), None));
    }
}
