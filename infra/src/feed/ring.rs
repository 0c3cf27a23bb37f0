//! The latest decided frames, in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use domain::frame::DecidedFrame;
use domain::ports::feed::{FanOut, FeedEvent};
use domain::position::{Position, Shard};
use tokio::sync::watch;

/// A ring holds at most so many frames.
const MAX_FRAMES: usize = 4096;

/// What the owners of this process decided lately, for the readers of this process.
pub struct Rings {
    rings: Vec<Mutex<Ring>>,
    /// Counts publications, so that a reader that has nothing to do waits for the next one and misses none.
    published: watch::Sender<u64>,
}

impl Rings {
    /// Empty rings of shards that end at `heads`, as far as is known here (one position per shard, in shard order). Together they keep about
    /// `bytes`.
    #[must_use]
    pub fn new(heads: &[Position], bytes: usize) -> Self {
        let each = bytes / heads.len().max(1);
        let rings = heads.iter().map(|head| Mutex::new(Ring::new(head.n, each))).collect();
        Self { rings, published: watch::Sender::new(0) }
    }

    /// Works on a shard's ring; the lock is held for a few pointer copies.
    pub(super) fn ring<T>(&self, shard: Shard, work: impl FnOnce(&mut Ring) -> T) -> Option<T> {
        let ring = self.rings.get(usize::from(shard.0))?;
        Some(work(&mut ring.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// The last position of a shard that is known here.
    pub(crate) fn head(&self, shard: Shard) -> u64 {
        self.ring(shard, |ring| ring.head()).unwrap_or(0)
    }

    /// Appends the events after position `last`, at most `limit`; none when there is no news, or the ring doesn't reach back so far.
    pub(crate) fn after(&self, shard: Shard, last: u64, limit: usize, out: &mut Vec<FeedEvent>) {
        self.ring(shard, |ring| ring.copy(last + 1, limit, out));
    }

    /// About what they keep.
    pub(crate) fn bytes(&self) -> usize {
        self.rings.iter().map(|ring| ring.lock().unwrap_or_else(PoisonError::into_inner).bytes()).sum()
    }

    /// Whether anybody waits for what is published.
    pub(crate) fn has_readers(&self) -> bool {
        self.published.receiver_count() > 0
    }

    /// Tells of publications.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }
}

impl FanOut for Rings {
    fn publish(&self, frame: Arc<DecidedFrame>) {
        if self.ring(frame.header.slot.shard, |ring| ring.push(frame)) == Some(true) {
            self.published.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}

/// A run of frames without a gap in their positions, up to the head.
pub(super) struct Ring {
    frames: VecDeque<(Arc<DecidedFrame>, usize)>,
    bytes: usize,
    max_bytes: usize,
    head: u64,
}

/// About what a frame takes in memory: events with their texts, and the commands' records, which it holds too.
pub(crate) fn size(frame: &DecidedFrame) -> usize {
    let events = frame.events.iter().map(|event| event.data.len() + 500).sum::<usize>();
    let commands = frame.commands.iter().map(|command| command.answer.len() + 120).sum::<usize>();
    256 + events + commands
}

impl Ring {
    /// An empty ring of a shard that ends at `head`. It keeps about `max_bytes`, and one frame in any case.
    pub(super) fn new(head: u64, max_bytes: usize) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, max_bytes, head }
    }

    /// The shard's last position that is known here.
    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// About what it keeps.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes over a frame; answers whether it brought news.
    pub(super) fn push(&mut self, frame: Arc<DecidedFrame>) -> bool {
        if frame.events.is_empty() || frame.header.last_position() <= self.head {
            return false;
        }
        if frame.header.first_position != self.head + 1 {
            // Frames between were never published here: readers find them in the log.
            self.frames.clear();
            self.bytes = 0;
        }
        self.head = frame.header.last_position();
        let bytes = size(&frame);
        self.bytes += bytes;
        self.frames.push_back((frame, bytes));
        while self.frames.len() > 1 && (self.bytes > self.max_bytes || self.frames.len() > MAX_FRAMES) {
            self.bytes -= self.frames.pop_front().map_or(0, |(_, bytes)| bytes);
        }
        true
    }

    /// Whether the ring reaches back to position `next`.
    pub(super) fn reaches(&self, next: u64) -> bool {
        self.frames.front().is_some_and(|(frame, _)| frame.header.first_position <= next)
    }

    /// Appends the events from position `next` on, at most `limit`; none when the ring doesn't reach back so far.
    pub(super) fn copy(&self, next: u64, limit: usize, out: &mut Vec<FeedEvent>) {
        if !self.reaches(next) {
            return;
        }
        let start = self.frames.partition_point(|(frame, _)| frame.header.last_position() < next);
        let end = out.len() + limit;
        for (frame, _) in self.frames.range(start..) {
            // Only the first frame can begin before `next`; an index in a frame is below its length, a usize.
            let skip = next.saturating_sub(frame.header.first_position) as usize;
            let room = end - out.len();
            out.extend(FeedEvent::all_of(frame).skip(skip).take(room));
            if out.len() == end {
                break;
            }
        }
    }
}
