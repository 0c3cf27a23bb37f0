//! Decided frames whose derived rows are not acknowledged yet: what a load must add to what the tables answer (P5).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;

use domain::command::{Accepted, CommandId};
use domain::event::RecordedEvent;
use domain::frame::{CommandRecord, DecidedFrame, FrameHeader};
use domain::merkle::Hash;
use domain::position::Position;
use domain::stream::StreamId;
use lru::LruCache;

/// An accepted command's outcome, kept for repeats.
#[derive(Clone)]
pub(super) struct KnownResult {
    pub(super) body_hash: Hash,
    pub(super) accepted: Accepted,
}

/// What a repeat of a recorded command is answered.
pub(super) fn repeated(record: &CommandRecord, position: Position) -> KnownResult {
    let accepted = Accepted {
        id: record.id,
        position,
        events: record.events,
        answer: record.answer.clone(),
        repeated: true,
    };
    KnownResult { body_hash: record.body_hash, accepted }
}

/// The position that a recorded command's Sync-Token names: its last event's, or the frame's last when it has none.
pub(super) fn token_position(header: &FrameHeader, record: &CommandRecord) -> Position {
    let n = if record.events > 0 {
        header.first_position + record.first_event + record.events - 1
    } else {
        header.last_position()
    };
    Position { shard: header.slot.shard, n }
}

/// Marks that a load is under way; frames acknowledged since it began stay in the overlay until it has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct LoadMark(u64);

pub(super) struct Overlay {
    frames: VecDeque<(Arc<DecidedFrame>, usize)>,
    bytes: usize,
    outstanding_bytes: usize,
    events: HashMap<StreamId, VecDeque<Arc<RecordedEvent>>>,
    results: HashMap<CommandId, KnownResult>,
    recent: LruCache<CommandId, KnownResult>,
    /// Bytes of `recent`, about.
    recent_bytes: usize,
    /// Bytes of `results`, about.
    result_bytes: usize,
    acknowledged: u64,
    pins: BTreeMap<u64, usize>,
}

/// Bytes of the answers of acknowledged frames that stay in memory, about; others are read from derived rows.
const RECENT_BYTES: usize = 2 << 20;

impl KnownResult {
    /// Bytes in memory, about.
    fn weight(&self) -> usize {
        256 + self.accepted.answer.len()
    }
}

impl Overlay {
    /// An overlay over derived rows that are complete up to frame `acknowledged`.
    pub(super) fn new(acknowledged: u64, recent_results: usize) -> Self {
        Self {
            frames: VecDeque::new(),
            bytes: 0,
            outstanding_bytes: 0,
            events: HashMap::new(),
            results: HashMap::new(),
            recent: LruCache::new(NonZeroUsize::new(recent_results).unwrap_or(NonZeroUsize::MIN)),
            recent_bytes: 0,
            result_bytes: 0,
            acknowledged,
            pins: BTreeMap::new(),
        }
    }

    /// Bytes of the frames held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The frame that derived rows are acknowledged up to.
    pub(super) fn derived_through(&self) -> u64 {
        self.acknowledged
    }

    /// How many answers are in memory, and about how many bytes they take.
    pub(super) fn answers(&self) -> (usize, usize) {
        (self.results.len() + self.recent.len(), self.result_bytes + self.recent_bytes)
    }

    /// Bytes of the frames whose derived rows are not written yet.
    pub(super) fn outstanding_bytes(&self) -> usize {
        self.outstanding_bytes
    }

    /// Adds a decided frame, `bytes` long.
    pub(super) fn add(&mut self, frame: &Arc<DecidedFrame>, bytes: usize) {
        for event in &frame.events {
            self.events.entry(event.stream.clone()).or_default().push_back(Arc::clone(event));
        }
        for (_, record) in frame.repeatable() {
            let result = repeated(record, token_position(&frame.header, record));
            self.result_bytes += result.weight();
            if let Some(before) = self.results.insert(record.id, result) {
                self.result_bytes -= before.weight();
            }
        }
        self.bytes += bytes;
        self.outstanding_bytes += bytes;
        self.frames.push_back((Arc::clone(frame), bytes));
    }

    /// The frames after number `after` whose derived rows are to be written, up to about `max_bytes`.
    pub(super) fn outstanding(&self, max_bytes: usize) -> Vec<Arc<DecidedFrame>> {
        let mut taken = 0;
        self.frames
            .iter()
            .filter(|(frame, _)| frame.header.slot.frame > self.acknowledged)
            .take_while(|(_, bytes)| {
                let go_on = taken < max_bytes;
                taken += bytes;
                go_on
            })
            .map(|(frame, _)| Arc::clone(frame))
            .collect()
    }

    pub(super) fn pin(&mut self) -> LoadMark {
        *self.pins.entry(self.acknowledged).or_default() += 1;
        LoadMark(self.acknowledged)
    }

    pub(super) fn unpin(&mut self, pin: LoadMark) {
        if let Some(count) = self.pins.get_mut(&pin.0) {
            *count -= 1;
            if *count == 0 {
                self.pins.remove(&pin.0);
            }
        }
        self.drop_acknowledged();
    }

    /// The derived rows of all frames up to `frame` are written.
    pub(super) fn acknowledge(&mut self, frame: u64) {
        let newly = self.frames.iter().filter(|(f, _)| {
            let number = f.header.slot.frame;
            number > self.acknowledged && number <= frame
        });
        self.outstanding_bytes -= newly.map(|(_, bytes)| bytes).sum::<usize>();
        self.acknowledged = self.acknowledged.max(frame);
        self.drop_acknowledged();
    }

    fn drop_acknowledged(&mut self) {
        let oldest_load = self.pins.keys().next().copied().unwrap_or(u64::MAX);
        let through = self.acknowledged.min(oldest_load);
        while let Some((frame, _)) = self.frames.front()
            && frame.header.slot.frame <= through
        {
            let Some((frame, bytes)) = self.frames.pop_front() else { break };
            self.bytes -= bytes;
            for event in &frame.events {
                // Frames leave in order, so a stream's oldest event here is this one.
                if let Some(events) = self.events.get_mut(&event.stream) {
                    events.pop_front();
                    if events.is_empty() {
                        self.events.remove(&event.stream);
                    }
                }
            }
            for (_, record) in frame.repeatable() {
                if let Some(result) = self.results.remove(&record.id) {
                    self.result_bytes -= result.weight();
                    self.remember(record.id, result);
                }
            }
        }
    }

    /// The stream's events in the overlay, in order.
    pub(super) fn events(&self, stream: &StreamId) -> impl Iterator<Item = &Arc<RecordedEvent>> {
        self.events.get(stream).into_iter().flatten()
    }

    /// An accepted command's outcome, if it is in memory.
    pub(super) fn result(&mut self, id: CommandId) -> Option<KnownResult> {
        self.results.get(&id).or_else(|| self.recent.get(&id)).cloned()
    }

    /// Keeps an outcome that derived rows have, among the recent ones.
    pub(super) fn remember(&mut self, id: CommandId, result: KnownResult) {
        self.recent_bytes += result.weight();
        // What leaves is the one before under this id, or the least recently used one for want of room.
        if let Some((_, before)) = self.recent.push(id, result) {
            self.recent_bytes -= before.weight();
        }
        while self.recent_bytes > RECENT_BYTES
            && let Some((_, oldest)) = self.recent.pop_lru()
        {
            self.recent_bytes -= oldest.weight();
        }
    }
}
