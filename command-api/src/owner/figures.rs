//! What an owner holds and does, in numbers: its loop writes them, metrics and health read them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a shard's owner holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gauge {
    /// Jobs in the loop: ready, or waiting for what they need.
    Jobs,
    /// Streams that these name.
    NamedStreams,
    /// Aggregates in memory.
    CachedStreams,
    /// Bytes that they take, about.
    CachedBytes,
    /// Loads and lookups under way.
    Loads,
    /// Bytes of decided frames in memory, since their derived rows are not acknowledged or a load is under way.
    OverlayBytes,
    /// Answers in memory, for repeats.
    Answers,
    /// Bytes that they take, about.
    AnswerBytes,
    /// Bytes of snapshots on their way to storage.
    SnapshotBytes,
}

/// What it has done since its process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Aggregates loaded from derived rows.
    Loads,
    /// Snapshots kept.
    SnapshotsWritten,
    /// Snapshots not taken: too large, or too many on their way.
    SnapshotsSkipped,
    /// Snapshots that storage refused.
    SnapshotsFailed,
}

impl Gauge {
    /// All, each with its name and what it tells.
    pub const ALL: [(Self, &'static str, &'static str); 9] = [
        (Self::Jobs, "owner_jobs", "Jobs in a shard's loop."),
        (Self::NamedStreams, "owner_named_streams", "Aggregates that jobs in a shard's loop need."),
        (Self::CachedStreams, "owner_cached_streams", "Aggregates in memory."),
        (Self::CachedBytes, "owner_cached_bytes", "Bytes of the aggregates in memory, about."),
        (Self::Loads, "owner_loads", "Loads and lookups under way."),
        (Self::OverlayBytes, "owner_overlay_bytes", "Bytes of decided frames in memory."),
        (Self::Answers, "owner_answers", "Answers of accepted commands in memory."),
        (Self::AnswerBytes, "owner_answer_bytes", "Bytes of the answers in memory, about."),
        (Self::SnapshotBytes, "owner_snapshot_bytes", "Bytes of snapshots on their way to storage."),
    ];
}

impl Counter {
    /// All, each with its name and what it tells.
    pub const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Loads, "owner_loaded_total", "Aggregates loaded."),
        (Self::SnapshotsWritten, "owner_snapshots_total", "Snapshots kept."),
        (
            Self::SnapshotsSkipped,
            "owner_snapshots_skipped_total",
            "Snapshots not taken: too large or too many.",
        ),
        (Self::SnapshotsFailed, "owner_snapshots_failed_total", "Snapshots that storage refused."),
    ];
}

/// The figures of one shard's owner.
#[derive(Debug, Default)]
pub struct ShardFigures {
    gauges: [AtomicU64; Gauge::ALL.len()],
    counters: [AtomicU64; Counter::ALL.len()],
    /// Since when derived rows can't be written, and why.
    failing: Mutex<Option<(Instant, String)>>,
}

impl ShardFigures {
    /// What it holds now.
    #[must_use]
    pub fn gauge(&self, gauge: Gauge) -> u64 {
        self.gauges[gauge as usize].load(Ordering::Relaxed)
    }

    /// What it has done.
    #[must_use]
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters[counter as usize].load(Ordering::Relaxed)
    }

    /// For how long derived rows couldn't be written, and why; `None` when they can.
    #[must_use]
    pub fn derived_failing(&self) -> Option<(Duration, String)> {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.as_ref().map(|(since, reason)| (since.elapsed(), reason.clone()))
    }

    pub(super) fn set(&self, gauge: Gauge, value: usize) {
        self.gauges[gauge as usize].store(value as u64, Ordering::Relaxed);
    }

    pub(super) fn add(&self, counter: Counter) {
        self.counters[counter as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Derived rows were written, or why they couldn't be.
    pub(super) fn derived(&self, outcome: Result<(), String>) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        *failing = match outcome {
            Ok(()) => None,
            Err(reason) => Some((failing.as_ref().map_or_else(Instant::now, |(since, _)| *since), reason)),
        };
    }

    /// The shard's owner has ended: it holds nothing any more.
    pub(super) fn ended(&self) {
        self.gauges.iter().for_each(|gauge| gauge.store(0, Ordering::Relaxed));
        self.derived(Ok(()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_stands_in_its_place() {
        assert!((0..).zip(Gauge::ALL).all(|(at, (gauge, ..))| gauge as usize == at));
        assert!((0..).zip(Counter::ALL).all(|(at, (counter, ..))| counter as usize == at));
    }

    #[test]
    fn rows_fail_since_the_first_failure() {
        let figures = ShardFigures::default();
        figures.derived(Err("full".into()));
        let (first, _) = figures.derived_failing().expect("failing");
        figures.derived(Err("still full".into()));
        let (second, reason) = figures.derived_failing().expect("failing");
        assert!(second >= first && reason == "still full");
        figures.derived(Ok(()));
        assert_eq!(figures.derived_failing(), None);
    }
}
