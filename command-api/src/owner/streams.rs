//! Aggregates in memory, with the tentative effect of the frame in flight.

use std::collections::HashMap;

use domain::Timestamp;
use domain::aggregate::{Registry, StreamMeta, StreamState};
use domain::event::RecordedEvent;
use domain::follow_on::Loaded;
use domain::stream::StreamId;
use domain::upcast::DecodeError;
use lru::LruCache;

/// An aggregate's state and what is known of its stream.
pub(super) struct Entry {
    pub(super) meta: StreamMeta,
    pub(super) state: Box<dyn StreamState>,
    /// The version of the last snapshot, and its length in bytes; zeros without one.
    pub(super) snapshot: (u64, usize),
    /// Its weight when it was last weighed.
    bytes: usize,
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
        Some(Self { meta, state: registry.initial(stream.kind())?, snapshot: (0, 0), bytes: 0 })
    }

    /// Bytes that it takes in memory, about.
    pub(super) fn weight(&self) -> usize {
        /// Entry, key, links and the allocations' own.
        const BESIDE: usize = 512;
        BESIDE + self.state.weight()
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

/// How many jobs in the loop name each stream: what they name stays in memory once it is loaded, however many they are. Their number is
/// bounded by the loop's room.
#[derive(Default)]
pub(super) struct Named(HashMap<StreamId, usize>);

impl Named {
    /// A job has come that names these.
    pub(super) fn add(&mut self, streams: Vec<StreamId>) {
        for stream in streams {
            *self.0.entry(stream).or_default() += 1;
        }
    }

    /// It has left.
    pub(super) fn remove(&mut self, streams: &[StreamId]) {
        for stream in streams {
            if let Some(count) = self.0.get_mut(stream) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(stream);
                }
            }
        }
    }

    /// How many streams are named.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn contains(&self, stream: &StreamId) -> bool {
        self.0.contains_key(stream)
    }
}

/// The aggregates in memory, least recently used first to leave.
pub(super) struct Streams {
    entries: LruCache<StreamId, Entry>,
    keep: usize,
    keep_bytes: usize,
    /// About what the entries take.
    bytes: usize,
}

impl Streams {
    pub(super) fn new(keep: usize, keep_bytes: usize) -> Self {
        Self { entries: LruCache::unbounded(), keep, keep_bytes, bytes: 0 }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// About what they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn contains(&self, stream: &StreamId) -> bool {
        self.entries.contains(stream)
    }

    pub(super) fn get_mut(&mut self, stream: &StreamId) -> Option<&mut Entry> {
        self.entries.get_mut(stream)
    }

    pub(super) fn insert(&mut self, mut entry: Entry) {
        entry.bytes = entry.weight();
        self.bytes += entry.bytes;
        if let Some(before) = self.entries.put(entry.meta.stream.clone(), entry) {
            self.bytes -= before.bytes;
        }
    }

    /// Forgets states that hold the effect of a frame that was not decided.
    pub(super) fn forget(&mut self, touched: &[StreamId]) {
        for stream in touched {
            if let Some(entry) = self.entries.pop(stream) {
                self.bytes -= entry.bytes;
            }
        }
    }

    /// Notes how large these have become.
    pub(super) fn weigh(&mut self, touched: &[StreamId]) {
        for stream in touched {
            if let Some(entry) = self.entries.peek_mut(stream) {
                let bytes = entry.weight();
                self.bytes = self.bytes - entry.bytes + bytes;
                entry.bytes = bytes;
            }
        }
    }

    /// Makes room, but keeps what a job names: it would be loaded again at once. Only to be called when no frame is in flight: a state
    /// that holds its tentative effect can't be reloaded.
    pub(super) fn trim(&mut self, named: &Named) {
        // Each is looked at once at most: one that is kept counts as used just now.
        for _ in 0..self.entries.len() {
            let surplus = self.entries.len() > self.keep || self.bytes > self.keep_bytes;
            if !surplus || self.entries.len() <= named.len() {
                break;
            }
            let Some((stream, entry)) = self.entries.pop_lru() else { break };
            if named.contains(&stream) {
                self.entries.put(stream, entry);
            } else {
                self.bytes -= entry.bytes;
            }
        }
    }
}

impl Loaded for Streams {
    fn get(&self, stream: &StreamId) -> Option<(&dyn StreamState, u64)> {
        self.entries.peek(stream).map(|entry| (&*entry.state, entry.meta.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u128) -> Entry {
        let stream = StreamId::new("default", "product", uuid::Uuid::from_u128(n));
        Entry::initial(&domain::catalogue::aggregates(Registry::default()), &stream).expect("a known type")
    }

    // proves: P5
    #[test]
    fn what_a_job_names_stays_however_small_the_room_is() {
        let mut streams = Streams::new(2, usize::MAX);
        let mut named = Named::default();
        for n in 0..10 {
            streams.insert(entry(n));
            named.add(vec![entry(n).meta.stream]);
        }
        streams.trim(&named);
        assert_eq!(streams.len(), 10);
        (0..7).for_each(|n| named.remove(&[entry(n).meta.stream]));
        streams.trim(&named);
        assert_eq!(streams.len(), 3, "those that are named, though there is room for two only");
        assert!((7..10).all(|n| streams.contains(&entry(n).meta.stream)));
        (7..10).for_each(|n| named.remove(&[entry(n).meta.stream]));
        streams.trim(&named);
        assert_eq!((streams.len(), named.len()), (2, 0));
    }

    // proves: SEC-10
    #[test]
    fn the_room_is_bounded_in_bytes_too() {
        let one = entry(0).weight();
        let mut streams = Streams::new(100, one * 4);
        (0..10).for_each(|n| streams.insert(entry(n)));
        assert_eq!(streams.bytes(), one * 10);
        streams.trim(&Named::default());
        assert_eq!((streams.len(), streams.bytes()), (4, one * 4));
        streams.forget(&[entry(9).meta.stream]);
        assert_eq!(streams.bytes(), one * 3);
    }
}
