//! The latest decided frames of one shard.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::frame::DecidedFrame;
use domain::ports::feed::FeedEvent;

/// A ring holds at most so many frames.
const MAX_FRAMES: usize = 4096;

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
