//! How far read models fall behind what the owners of the same process decide.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::frame::DecidedFrame;
use domain::position::Shard;
use tokio::time::Instant;

/// A mark of a shard is set at most so often.
const EVERY: Duration = Duration::from_millis(50);
/// Read models that fall behind by more don't tell of their pace: something is out of order, and others look after that.
const OUTAGE: Duration = Duration::from_secs(10);

/// When frames were decided here, by the clock of this process.
#[derive(Default)]
pub(super) struct ReadPace(Mutex<HashMap<Shard, Marks>>);

/// What was decided in a shard, and when.
struct Marks {
    /// Read models that haven't applied this yet catch up with the past.
    past: u64,
    /// A frame's last position and when it was decided, within [`OUTAGE`] and oldest first.
    marks: VecDeque<(u64, Instant)>,
}

impl ReadPace {
    /// Notes a frame that was decided now.
    pub(super) fn decided(&self, frame: &DecidedFrame) {
        if !frame.events.is_empty() {
            let (first, last) = (frame.header.first_position, frame.header.last_position());
            self.note(frame.header.slot.shard, first, last, Instant::now());
        }
    }

    fn note(&self, shard: Shard, first: u64, last: u64, now: Instant) {
        let mut shards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let past = first.saturating_sub(1);
        let Marks { past, marks } =
            shards.entry(shard).or_insert_with(|| Marks { past, marks: VecDeque::new() });
        while let Some((position, _)) = marks.pop_front_if(|(_, at)| now.duration_since(*at) > OUTAGE) {
            *past = position;
        }
        if marks.back().is_none_or(|(_, at)| now.duration_since(*at) >= EVERY) {
            marks.push_back((last, now));
        }
    }

    /// How long ago the oldest frame was decided that read models lack, which have applied each shard up to `applied`. Zero while they catch up
    /// with what was decided before this process began, or long ago.
    pub(super) fn behind(&self, applied: impl Fn(Shard) -> Option<u64>) -> Duration {
        let (shards, now) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        let behind = shards.iter().filter_map(|(shard, Marks { past, marks })| {
            let applied = applied(*shard).filter(|applied| applied >= past)?;
            let lacking = marks.partition_point(|(position, _)| *position <= applied);
            marks.get(lacking).map(|(_, at)| now.duration_since(*at))
        });
        behind.filter(|age| *age <= OUTAGE).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: Shard = Shard(3);

    // proves: SEC-10
    #[tokio::test(start_paused = true)]
    async fn what_was_decided_here_and_is_not_applied_yet_counts_from_its_decision() {
        let pace = ReadPace::default();
        let behind = |applied: u64| pace.behind(|_| Some(applied)).as_millis();
        assert_eq!(behind(0), 0, "nothing was decided");
        pace.note(SHARD, 101, 110, Instant::now());
        tokio::time::advance(Duration::from_millis(300)).await;
        pace.note(SHARD, 111, 120, Instant::now());
        assert_eq!(behind(100), 300);
        assert_eq!(behind(109), 300, "a part of a frame isn't all of it");
        assert_eq!(behind(110), 0);
        tokio::time::advance(Duration::from_millis(200)).await;
        assert_eq!((behind(100), behind(110), behind(120)), (500, 200, 0));
        assert_eq!(pace.behind(|_| None), Duration::ZERO, "read models that fail have no pace");
    }

    // proves: SEC-10
    #[tokio::test(start_paused = true)]
    async fn read_models_that_catch_up_with_the_past_or_stand_still_hold_nobody_up() {
        let pace = ReadPace::default();
        let behind = |applied: u64| pace.behind(|_| Some(applied)).as_millis();
        pace.note(SHARD, 101, 110, Instant::now());
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!((behind(7), behind(99)), (0, 0), "they were never up to date here");
        assert_eq!(behind(100), 3_000);
        tokio::time::advance(OUTAGE).await;
        assert_eq!(behind(100), 0, "they stand still");
        pace.note(SHARD, 111, 120, Instant::now());
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(behind(109), 0, "what they lack is of the past now");
        assert_eq!(behind(110), 3_000);
    }

    // proves: SEC-10
    #[tokio::test(start_paused = true)]
    async fn marks_are_bounded() {
        let pace = ReadPace::default();
        for n in 1..=10_000 {
            pace.note(SHARD, n, n, Instant::now());
            tokio::time::advance(Duration::from_millis(5)).await;
        }
        assert!(pace.0.lock().unwrap()[&SHARD].marks.len() <= 201);
    }
}
