//! How much the backend's partition of the next slot holds, where partitions should stay small.
//!
//! The slot of a frame says which partition it is in, and nothing else may, or two owners might decide one slot in two places. So an owner
//! bounds a partition by what it puts in: frames get their fair share of what is left; when that is less than one frame may take, the rest
//! of the partition is filled with frames without contents, and the next frame with some begins the next partition.

use std::sync::Arc;
use std::time::Duration;

use domain::frame::Slot;
use domain::ports::log::{EventLog, Partitions};
use futures::future::BoxFuture;

use super::config::MAX_COMMAND_BYTES;

/// A frame never takes more: it takes no further command beyond [`MAX_COMMAND_BYTES`], and the last one's events, the records and the hashes
/// come on top.
const LARGEST_FRAME: u64 = 4 * MAX_COMMAND_BYTES as u64;
/// However little is left, frames may take so much.
const FLOOR: u64 = 64 << 10;
/// While it isn't known what a partition held before the takeover, frames take so much at most: as much again as the largest, and one more.
const UNMEASURED: u64 = 2 * LARGEST_FRAME;
const PAGE_FRAMES: usize = 64;
const PAGE_BYTES: usize = 4 << 20;
const PAUSE: Duration = Duration::from_millis(500);

pub(super) struct Partition {
    limits: Option<Partitions>,
    /// Which one.
    number: u64,
    /// Bytes in it, as far as they are known.
    used: u64,
    /// Looks for those of before the takeover.
    measuring: Option<BoxFuture<'static, u64>>,
}

impl Partition {
    /// The partition of the next slot, after a takeover.
    pub(super) fn new(log: Arc<dyn EventLog>, next: Slot) -> Self {
        let limits = log.partitions().filter(|limits| limits.frames > 0);
        let frames = limits.map_or(1, |limits| limits.frames);
        let number = next.frame / frames;
        let first = (number * frames).max(1);
        let measuring = limits.filter(|_| next.frame > first).map(|_| {
            let measuring: BoxFuture<'static, u64> =
                Box::pin(measure(log, Slot { frame: first, ..next }, next.frame));
            measuring
        });
        Self { limits, number, used: 0, measuring }
    }

    /// A frame of so many bytes was decided.
    pub(super) fn add(&mut self, slot: Slot, bytes: usize) {
        let Some(limits) = self.limits else { return };
        let number = slot.frame / limits.frames;
        if number != self.number {
            (self.number, self.used, self.measuring) = (number, 0, None);
        }
        self.used += bytes as u64;
    }

    /// Whether a frame may be started at all: not while too much has come that can't be judged.
    pub(super) fn is_known(&self) -> bool {
        self.measuring.is_none() || self.used < LARGEST_FRAME
    }

    /// Whether there is no room for another frame with contents at `slot`.
    pub(super) fn is_full(&self, slot: Slot) -> bool {
        self.limits.is_some_and(|limits| {
            slot.frame / limits.frames == self.number && self.used > 0 && self.left(limits) < LARGEST_FRAME
        })
    }

    /// The bytes that the frame at `slot` should take at most.
    pub(super) fn share(&self, slot: Slot) -> usize {
        let Some(limits) = self.limits else { return usize::MAX };
        let left = if slot.frame / limits.frames == self.number { self.left(limits) } else { limits.bytes };
        let slots = limits.frames - slot.frame % limits.frames;
        usize::try_from((left.saturating_sub(LARGEST_FRAME) / slots).max(FLOOR)).unwrap_or(usize::MAX)
    }

    /// What may have come before it could be judged is never given away.
    fn left(&self, limits: Partitions) -> u64 {
        limits.bytes.saturating_sub(UNMEASURED + self.used)
    }

    /// Waits until it is known what the partition held before; for ever when it is. May be dropped at any time.
    pub(super) async fn measured(&mut self) {
        let before = match &mut self.measuring {
            Some(measuring) => measuring.await,
            None => return std::future::pending().await,
        };
        self.measuring = None;
        self.used += before;
    }
}

/// Bytes of the frames from `first` up to `end`.
async fn measure(log: Arc<dyn EventLog>, first: Slot, end: u64) -> u64 {
    let (mut next, mut bytes) = (first.frame, 0);
    while next < end {
        let most = usize::try_from(end - next).unwrap_or(usize::MAX).min(PAGE_FRAMES);
        match log.read_frames(first.shard, next, most, PAGE_BYTES).await {
            Ok(page) if !page.is_empty() => {
                next += page.len() as u64;
                bytes += page.iter().map(|frame| frame.len() as u64).sum::<u64>();
            }
            // A lagging page says nothing.
            Ok(_) => tokio::time::sleep(PAUSE).await,
            Err(error) => {
                tracing::warn!(shard = %first.shard, %error, "the last frames can't be measured yet");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    bytes
}
