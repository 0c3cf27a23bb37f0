//! What an owner holds and does, in numbers: its loop writes them, metrics and health read them. `infra` says what each name means.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::position::Shard;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// The figures of one shard's owner: handles, so that the loop looks nothing up. What is spread over buckets is told of all shards
/// together: there may be a thousand of them.
pub struct ShardFigures {
    pub(super) queued_jobs: Gauge,
    pub(super) jobs: Gauge,
    pub(super) named_streams: Gauge,
    pub(super) cached_streams: Gauge,
    pub(super) cached_bytes: Gauge,
    pub(super) loads: Gauge,
    pub(super) overlay_bytes: Gauge,
    pub(super) answers: Gauge,
    pub(super) answer_bytes: Gauge,
    pub(super) snapshot_bytes: Gauge,
    pub(super) loaded: Counter,
    pub(super) snapshots: Counter,
    pub(super) snapshots_skipped: Counter,
    pub(super) snapshots_failed: Counter,
    pub(super) frame_events: Histogram,
    pub(super) frame_bytes: Histogram,
    pub(super) decide_seconds: Histogram,
    pub(super) commit_seconds: Histogram,
    /// Since when derived rows can't be written, and why.
    failing: Mutex<Option<(Instant, String)>>,
}

impl ShardFigures {
    /// Those of a shard, in the recorder that is in place now.
    pub(super) fn of(shard: Shard) -> Self {
        let shard = shard.to_string();
        let gauge = |name: &'static str| gauge!(name, "shard" => shard.clone());
        let counter = |name: &'static str| counter!(name, "shard" => shard.clone());
        Self {
            queued_jobs: gauge("tillstream_owner_queued_jobs"),
            jobs: gauge("tillstream_owner_jobs"),
            named_streams: gauge("tillstream_owner_named_streams"),
            cached_streams: gauge("tillstream_owner_cached_streams"),
            cached_bytes: gauge("tillstream_owner_cached_bytes"),
            loads: gauge("tillstream_owner_loads"),
            overlay_bytes: gauge("tillstream_owner_overlay_bytes"),
            answers: gauge("tillstream_owner_answers"),
            answer_bytes: gauge("tillstream_owner_answer_bytes"),
            snapshot_bytes: gauge("tillstream_owner_snapshot_bytes"),
            loaded: counter("tillstream_owner_loaded_total"),
            snapshots: counter("tillstream_owner_snapshots_total"),
            snapshots_skipped: counter("tillstream_owner_snapshots_skipped_total"),
            snapshots_failed: counter("tillstream_owner_snapshots_failed_total"),
            frame_events: histogram!("tillstream_owner_frame_events"),
            frame_bytes: histogram!("tillstream_owner_frame_bytes"),
            decide_seconds: histogram!("tillstream_owner_decide_seconds"),
            commit_seconds: histogram!("tillstream_owner_commit_seconds"),
            failing: Mutex::default(),
        }
    }

    /// For how long derived rows couldn't be written, and why; `None` when they can.
    #[must_use]
    pub fn derived_failing(&self) -> Option<(Duration, String)> {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.as_ref().map(|(since, reason)| (since.elapsed(), reason.clone()))
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
        let held = [
            &self.queued_jobs,
            &self.jobs,
            &self.named_streams,
            &self.cached_streams,
            &self.cached_bytes,
            &self.loads,
            &self.overlay_bytes,
            &self.answers,
            &self.answer_bytes,
            &self.snapshot_bytes,
        ];
        held.into_iter().for_each(|gauge| gauge.set(0));
        self.derived(Ok(()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: OPS-3
    #[test]
    fn rows_fail_since_the_first_failure() {
        let figures = ShardFigures::of(Shard(0));
        figures.derived(Err("full".into()));
        let (first, _) = figures.derived_failing().expect("failing");
        figures.derived(Err("still full".into()));
        let (second, reason) = figures.derived_failing().expect("failing");
        assert!(second >= first && reason == "still full");
        figures.derived(Ok(()));
        assert_eq!(figures.derived_failing(), None);
    }
}
