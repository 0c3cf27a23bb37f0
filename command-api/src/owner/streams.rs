//! Aggregates in memory, with the tentative effect of the frame in flight.

use domain::Timestamp;
use domain::aggregate::{Registry, StreamMeta, StreamState};
use domain::event::RecordedEvent;
use domain::stream::StreamId;
use domain::upcast::DecodeError;
use lru::LruCache;

/// An aggregate's state and what is known of its stream.
pub(super) struct Entry {
    pub(super) meta: StreamMeta,
    pub(super) state: Box<dyn StreamState>,
    /// The version of the last snapshot, and its length in bytes; zeros without one.
    pub(super) snapshot: (u64, usize),
}

impl Entry {
    /// The state before the first event; `None` for an unknown aggregate type.
    pub(super) fn initial(registry: &Registry, stream: &StreamId) -> Option<Self> {
        let meta = StreamMeta {
            stream: stream.clone(),
            version: 0,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        };
        Some(Self { meta, state: registry.initial(stream.kind())?, snapshot: (0, 0) })
    }

    /// Counts an event that the state has been folded with.
    pub(super) fn count(&mut self, time: Timestamp) {
        if self.meta.version == 0 {
            self.meta.created_at = time;
        }
        self.meta.version += 1;
        self.meta.updated_at = time;
    }

    /// Whether a snapshot is due: after `every` events, and later for a large state, so that the bytes written for snapshots
    /// stay in proportion to the events.
    pub(super) fn snapshot_due(&self, every: u64) -> bool {
        const BYTES_PER_EVENT: u64 = 256;
        let (version, bytes) = self.snapshot;
        self.meta.version - version >= every.max(bytes as u64 / BYTES_PER_EVENT)
    }

    /// Folds an event read back. One at or below the version is a repeat.
    pub(super) fn apply(&mut self, event: &RecordedEvent) -> Result<(), String> {
        if event.version <= self.meta.version {
            return Ok(());
        }
        if event.version != self.meta.version + 1 {
            let stream = &self.meta.stream;
            return Err(format!("{stream} has a gap after version {}", self.meta.version));
        }
        self.state
            .apply(&event.event_type, event.schema_version, &event.data)
            .map_err(|e: DecodeError| format!("{} at {}: {e}", self.meta.stream, event.position))?;
        self.count(event.time);
        Ok(())
    }
}

/// The aggregates in memory, least recently used first to leave.
pub(super) struct Streams {
    entries: LruCache<StreamId, Entry>,
    keep: usize,
}

impl Streams {
    pub(super) fn new(keep: usize) -> Self {
        Self { entries: LruCache::unbounded(), keep }
    }

    pub(super) fn contains(&self, stream: &StreamId) -> bool {
        self.entries.contains(stream)
    }

    pub(super) fn get_mut(&mut self, stream: &StreamId) -> Option<&mut Entry> {
        self.entries.get_mut(stream)
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        self.entries.put(entry.meta.stream.clone(), entry);
    }

    /// Forgets states that hold the effect of a frame that was not decided.
    pub(super) fn forget(&mut self, touched: &[StreamId]) {
        for stream in touched {
            self.entries.pop(stream);
        }
    }

    /// Makes room, and says whether a state left. Only to be called when no frame is in flight: a state that holds its tentative effect can't be reloaded.
    pub(super) fn trim(&mut self) -> bool {
        let surplus = self.entries.len() > self.keep;
        while self.entries.len() > self.keep {
            self.entries.pop_lru();
        }
        surplus
    }
}
