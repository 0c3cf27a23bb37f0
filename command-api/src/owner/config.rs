//! What can be tuned about owners.

use std::time::Duration;

/// What an owner does when it meets a higher epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDeposed {
    /// It stays out until somebody starts it again: another process owns the shard.
    Stop,
    /// It takes the shard over again: right where no other process can own it.
    TakeOverAgain,
}

/// Limits of a shard's owner.
#[derive(Debug, Clone)]
pub struct OwnerConfig {
    /// Jobs that may wait in a shard's queue, and as many again inside the loop; more are refused as overloaded.
    pub queue: usize,
    /// How long a caller waits for an answer before the outcome counts as unknown to it.
    pub answer_within: Duration,
    /// Aggregates kept in memory per shard, beside those that a waiting job names.
    pub cached_streams: usize,
    /// Bytes, about, of the aggregates kept in memory per shard, beside those that a waiting job names.
    pub cached_bytes: usize,
    /// Loads of aggregates and lookups of command ids that a shard has under way at the same time; others wait for their turn.
    pub loads_at_once: usize,
    /// Answers of accepted commands kept in memory per shard.
    pub recent_results: usize,
    /// A snapshot is taken about every so many events of a stream.
    pub snapshot_every: u64,
    /// The largest snapshot, bytes; a larger state has none. Within what storage takes in one write.
    pub snapshot_bytes: usize,
    /// Shards that write derived rows at the same time, beside those that are far behind. Few where the rows compete with the frames for
    /// the same servers; a log that commits the rows of many shards together wants them all.
    pub derive_at_once: usize,
    /// So long derived rows that are few wait before they ask for their turn to be written, and more come meanwhile.
    pub derive_within: Duration,
    /// Frames of all shards that this process proposes, or confirms the tail for, at the same time: fewer frames are larger ones. A shard
    /// waits for its turn, and its frame takes what arrives meanwhile. One that takes long gives its turn up.
    pub frames_at_once: usize,
    /// Bytes of decided frames per shard whose derived rows may be outstanding; at more, no further frame starts.
    pub overlay_bytes: usize,
    /// How long a stopping owner waits for its last frame and derived rows.
    pub stop_within: Duration,
    /// See [`OnDeposed`].
    pub on_deposed: OnDeposed,
}

impl OwnerConfig {
    /// Over a log on servers that other work shares.
    #[must_use]
    pub fn over_servers() -> Self {
        Self {
            derive_at_once: 1,
            derive_within: Duration::from_secs(1),
            frames_at_once: 2,
            ..Self::default()
        }
    }
}

impl Default for OwnerConfig {
    fn default() -> Self {
        Self {
            queue: 4_096,
            answer_within: Duration::from_secs(10),
            cached_streams: 2_000,
            cached_bytes: 16 << 20,
            loads_at_once: 32,
            recent_results: 2_000,
            snapshot_every: 500,
            snapshot_bytes: 8 << 20,
            derive_at_once: usize::MAX,
            derive_within: Duration::from_millis(300),
            frames_at_once: usize::MAX,
            overlay_bytes: 16 << 20,
            stop_within: Duration::from_secs(10),
            on_deposed: OnDeposed::Stop,
        }
    }
}

/// The most bytes of events that one command may produce, and that a frame grows to.
pub(super) const MAX_COMMAND_BYTES: usize = 1 << 20;
/// The most jobs that one frame takes.
pub(super) const MAX_FRAME_JOBS: usize = 4_096;

/// How many bytes of events the next frame takes: doubles while full frames are decided quickly, halves when one is slow.
#[derive(Debug)]
pub(super) struct FrameSize(usize);

impl FrameSize {
    const MIN: usize = 32 << 10;
    const QUICK: Duration = Duration::from_millis(5);
    const SLOW: Duration = Duration::from_millis(25);

    pub(super) fn new() -> Self {
        Self(128 << 10)
    }

    pub(super) fn bytes(&self) -> usize {
        self.0
    }

    /// Learns from a decided frame; `full` says that jobs were left behind for want of room.
    pub(super) fn learn(&mut self, took: Duration, full: bool) {
        if took > Self::SLOW {
            self.0 = (self.0 / 2).max(Self::MIN);
        } else if full && took < Self::QUICK {
            self.0 = (self.0 * 2).min(MAX_COMMAND_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_grow_while_quick_and_full_and_shrink_when_slow() {
        let mut size = FrameSize::new();
        let start = size.bytes();
        size.learn(Duration::from_millis(1), false);
        assert_eq!(size.bytes(), start);
        (0..9).for_each(|_| size.learn(Duration::from_millis(1), true));
        assert_eq!(size.bytes(), MAX_COMMAND_BYTES);
        (0..9).for_each(|_| size.learn(Duration::from_millis(50), true));
        assert_eq!(size.bytes(), FrameSize::MIN);
    }
}
