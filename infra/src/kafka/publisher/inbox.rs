//! The frames of one shard that wait to be published.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::frame::DecidedFrame;

use crate::feed::ring;

/// Bounded by memory: when it is full, it forgets what waits, and the log is read instead.
pub(super) struct Inbox {
    frames: VecDeque<(Arc<DecidedFrame>, usize)>,
    bytes: usize,
    room: usize,
    /// What was ever handed over, whether it is still here or not.
    known: KnownTail,
}

/// How far the shard is known to be decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct KnownTail {
    /// The last frame.
    pub(super) frame: u64,
    /// Its last position.
    pub(super) position: u64,
    /// Its owner's epoch.
    pub(super) epoch: u64,
}

/// What a shard's task does next.
#[derive(Debug, PartialEq)]
pub(super) enum PublisherWork {
    /// Publish this frame; events before the next position are published already.
    Frame(Arc<DecidedFrame>),
    /// Publish from the log, up to this position at least.
    Log(u64),
    /// The shard has changed hands: see what the other owner has published.
    NewOwner,
    /// Wait.
    Nothing,
}

impl Inbox {
    pub(super) fn new(room: usize) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, room, known: KnownTail::default() }
    }

    /// About what waits here.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn known(&self) -> KnownTail {
        self.known
    }

    /// Takes a frame over. A frame that came before is ignored.
    pub(super) fn push(&mut self, frame: Arc<DecidedFrame>) {
        let header = &frame.header;
        if header.slot.frame <= self.known.frame {
            return;
        }
        self.known =
            KnownTail { frame: header.slot.frame, position: header.last_position(), epoch: header.epoch };
        let bytes = ring::size(&frame);
        if self.bytes + bytes > self.room {
            self.frames.clear();
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.frames.push_back((frame, bytes));
    }

    /// What there is to do when `next` is the next position to publish, in the epoch `epoch`.
    pub(super) fn work(&mut self, next: u64, epoch: u64) -> PublisherWork {
        if self.known.epoch > epoch {
            return PublisherWork::NewOwner;
        }
        match self.frames.pop_front() {
            Some((frame, bytes)) if frame.header.first_position <= next => {
                self.bytes -= bytes;
                PublisherWork::Frame(frame)
            }
            Some(later) => {
                let until = later.0.header.first_position - 1;
                self.frames.push_front(later);
                PublisherWork::Log(until)
            }
            None if next <= self.known.position => PublisherWork::Log(self.known.position),
            None => PublisherWork::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::frame::{Tail, encode_frame};
    use domain::position::Shard;
    use uuid::Uuid;

    use super::*;
    use crate::sqlite::log::SqliteLog;
    use crate::testing::{Chain, open_log};

    fn chain() -> (tempfile::TempDir, Arc<SqliteLog>, Chain) {
        let dir = tempfile::tempdir().unwrap();
        let log = open_log(dir.path());
        let chain = Chain::new(&log, Shard(0));
        (dir, log, chain)
    }

    fn frame(chain: &mut Chain, events: u64) -> Arc<DecidedFrame> {
        Arc::new(DecidedFrame::decode(&chain.next(events).bytes).unwrap())
    }

    #[test]
    fn frames_come_out_in_order_and_what_is_missing_comes_from_the_log() {
        let (_dir, _log, mut chain) = chain();
        let frames: Vec<_> = (0..3).map(|_| frame(&mut chain, 2)).collect();
        let mut inbox = Inbox::new(1 << 20);
        inbox.push(frames[1].clone());
        inbox.push(frames[2].clone());
        inbox.push(frames[1].clone());
        assert_eq!(inbox.work(1, 1), PublisherWork::Log(2));
        assert_eq!(inbox.work(3, 1), PublisherWork::Frame(frames[1].clone()));
        assert_eq!(inbox.work(5, 1), PublisherWork::Frame(frames[2].clone()));
        assert_eq!(inbox.work(7, 1), PublisherWork::Nothing);
        assert_eq!(inbox.work(4, 1), PublisherWork::Log(6), "published, but not acknowledged");
    }

    #[test]
    fn a_full_inbox_forgets_and_leaves_it_to_the_log() {
        let (_dir, _log, mut chain) = chain();
        let mut inbox = Inbox::new(3000);
        for _ in 0..100 {
            inbox.push(frame(&mut chain, 1));
        }
        assert!(inbox.bytes <= 3000 && inbox.frames.len() < 10);
        assert!(matches!(inbox.work(1, 1), PublisherWork::Log(until) if until > 80));
    }

    #[test]
    fn a_fence_is_a_change_of_owner() {
        let (_dir, _log, mut chain) = chain();
        let mut inbox = Inbox::new(1 << 20);
        inbox.push(frame(&mut chain, 1));
        assert!(matches!(inbox.work(1, 1), PublisherWork::Frame(_)));
        let tail = Tail { ..chain.tail.clone() };
        let fence = encode_frame(Uuid::nil(), &tail, 2, Uuid::nil(), &[], &[]);
        inbox.push(Arc::new(DecidedFrame::decode(&fence.bytes).unwrap()));
        assert_eq!(inbox.work(2, 1), PublisherWork::NewOwner);
        assert!(matches!(inbox.work(2, 2), PublisherWork::Frame(_)));
    }
}
