//! Every number that a server tells Prometheus: its name, which ends with its unit, and what it means, said here once. Whoever has the
//! number makes a handle of that name in the recorder that is in place meanwhile. Each server has a recorder of its own, since one process
//! can have several.

use std::time::Duration;

use metrics::{Recorder, Unit};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use tokio_util::sync::CancellationToken;

use self::Kind::{Counter, Gauge, Histogram};

/// What is kept of a number.
#[derive(Clone, Copy)]
enum Kind {
    /// Its sum since the start.
    Counter,
    /// What it is now.
    Gauge,
    /// How many were at most as large as each of these bounds, and their sum.
    Histogram(&'static [f64]),
}

/// From 1 ms to 10 s.
const WAITS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// From 10 µs to 100 ms: nothing is waited for.
const WORK: &[f64] = &[0.000_01, 0.000_025, 0.000_1, 0.000_25, 0.001, 0.002_5, 0.01, 0.025, 0.1];
/// Up to about what a frame may have.
const EVENTS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0];
/// From 1 KiB to 2 MiB.
const BYTES: &[f64] = &[1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 2_097_152.0];

const FIGURES: [(&str, Kind, &str); 39] = [
    (
        "tillstream_http_request_duration_seconds",
        Histogram(WAITS),
        "From a request to its answer, by operation and class of status; those of 4xx and 5xx are errors.",
    ),
    ("tillstream_http_requests_in_progress", Gauge, "Requests being answered."),
    ("tillstream_http_requests_most", Gauge, "Requests that may be answered at once."),
    ("tillstream_http_requests_turned_away_total", Counter, "Requests answered by 503 for want of room."),
    ("tillstream_http_connections_open", Gauge, "Connections being served."),
    ("tillstream_http_connections_told_total", Counter, "Connections answered by 503 for want of room."),
    ("tillstream_http_connections_dropped_total", Counter, "Connections closed unanswered for want of room."),
    ("tillstream_log_head_position", Gauge, "The last position of the log known here."),
    ("tillstream_feed_bytes", Gauge, "Bytes of decided frames in memory for those who follow."),
    ("tillstream_owner_shards", Gauge, "Shards that this process owns."),
    ("tillstream_owner_frame_events", Histogram(EVENTS), "Events of a decided frame."),
    ("tillstream_owner_frame_bytes", Histogram(BYTES), "Bytes of a decided frame."),
    ("tillstream_owner_decide_seconds", Histogram(WORK), "Deciding all that share a frame, in memory."),
    (
        "tillstream_owner_commit_seconds",
        Histogram(WAITS),
        "From a frame's proposal until it is known to be durable.",
    ),
    ("tillstream_owner_queued_jobs", Gauge, "Jobs in a shard's queue, before its loop takes them."),
    ("tillstream_owner_jobs", Gauge, "Jobs in a shard's loop: ready, or waiting for what they need."),
    ("tillstream_owner_named_streams", Gauge, "Aggregates that jobs in a shard's loop need."),
    ("tillstream_owner_cached_streams", Gauge, "Aggregates in memory."),
    ("tillstream_owner_cached_bytes", Gauge, "Bytes of the aggregates in memory, about."),
    ("tillstream_owner_loads", Gauge, "Loads and lookups under way."),
    ("tillstream_owner_loaded_total", Counter, "Aggregates loaded from derived rows."),
    (
        "tillstream_owner_overlay_bytes",
        Gauge,
        "Bytes of decided frames in memory for their derived rows, or for a load.",
    ),
    (
        "tillstream_owner_derived_failing_seconds",
        Gauge,
        "For how long derived rows can't be written; 0 when they can.",
    ),
    ("tillstream_owner_answers", Gauge, "Answers of accepted commands in memory, for repeats."),
    ("tillstream_owner_answer_bytes", Gauge, "Bytes of the answers in memory, about."),
    ("tillstream_owner_snapshot_bytes", Gauge, "Bytes of snapshots on their way to storage."),
    ("tillstream_owner_snapshots_total", Counter, "Snapshots kept."),
    (
        "tillstream_owner_snapshots_skipped_total",
        Counter,
        "Snapshots not taken: too large, or too many on their way.",
    ),
    ("tillstream_owner_snapshots_failed_total", Counter, "Snapshots that storage refused."),
    ("tillstream_projection_lag_events", Gauge, "Events that a projection is behind the log."),
    (
        "tillstream_projection_lag_seconds",
        Gauge,
        "Age of the oldest event that a projection has yet to apply.",
    ),
    ("tillstream_projection_parked_events", Gauge, "Events that a projection has parked."),
    (
        "tillstream_saga_work_due",
        Gauge,
        "Pieces of work in memory that are due, by lane: on their way, or without room.",
    ),
    ("tillstream_saga_work_done_total", Counter, "Pieces of work done, by lane."),
    ("tillstream_saga_work_retried_total", Counter, "Attempts that failed and are repeated, by lane."),
    (
        "tillstream_sagas_stuck",
        Gauge,
        "Sagas that don't go on by themselves, by reason; of the first hundred.",
    ),
    ("tillstream_conservation_differs", Gauge, "1 where a copy of the events differs from the log."),
    ("tillstream_conservation_checked_timestamp_seconds", Gauge, "When the copies were last compared."),
    ("tillstream_conservation_failed", Gauge, "1 when the last comparison couldn't be done."),
];

/// The recorder of one server.
///
/// # Errors
/// When a histogram has no bounds.
pub(crate) fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for (name, kind, ..) in FIGURES {
        if let Histogram(bounds) = kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds)?;
        }
    }
    Ok(described(builder))
}

/// A recorder for what is read when somebody asks: what isn't known then isn't in it, so nothing old is told.
pub(crate) fn of_now() -> PrometheusRecorder {
    described(PrometheusBuilder::new())
}

fn described(builder: PrometheusBuilder) -> PrometheusRecorder {
    let recorder = builder.build_recorder();
    for (name, kind, meaning) in FIGURES {
        let unit = match name.rsplit('_').next() {
            Some("seconds") => Unit::Seconds,
            Some("bytes") => Unit::Bytes,
            _ => Unit::Count,
        };
        match kind {
            Counter => recorder.describe_counter(name.into(), Some(unit), meaning.into()),
            Gauge => recorder.describe_gauge(name.into(), Some(unit), meaning.into()),
            Histogram(_) => recorder.describe_histogram(name.into(), Some(unit), meaning.into()),
        }
    }
    recorder
}

/// What goes into a histogram takes memory one by one until it is counted: at this pace, whether anybody asks or not.
const COUNTED_EVERY: Duration = Duration::from_secs(5);

/// Counts what went into the histograms, until the stop.
pub(crate) async fn keep_counting(recorded: PrometheusHandle, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(COUNTED_EVERY)).await.is_some() {
        recorded.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    // proves: OPS-3
    #[test]
    fn every_name_is_said_once() {
        let names: BTreeSet<&str> = FIGURES.iter().map(|(name, ..)| *name).collect();
        assert_eq!(names.len(), FIGURES.len());
        for (name, kind, _) in FIGURES {
            assert!(name.starts_with("tillstream_"), "{name}");
            assert_eq!(name.ends_with("_total"), matches!(kind, Counter), "{name}");
        }
        assert!(recorder().is_ok());
    }
}
