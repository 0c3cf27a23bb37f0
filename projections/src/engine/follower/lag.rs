//! For how long a followed projection has been behind, or ahead.

use std::time::Duration;

use domain::position::{Position, Seen};
use tokio::time::Instant;

use crate::engine::lag::{ahead, behind};

/// Heads that are told are no older than this, unless the log has a fault, which is told beside.
const HEADS_WITHIN: Duration = Duration::from_secs(10);

/// Heads that weren't covered when they were looked at, and when that was.
#[derive(Default)]
pub(super) struct Lag(Option<(Instant, Vec<Position>)>);

impl Lag {
    /// For how long the oldest heads looked at that aren't covered yet have been known; nothing when all are.
    pub(super) fn observe(&mut self, heads: &[Position], seen: &Seen, now: Instant) -> Duration {
        if self.0.as_ref().is_some_and(|(_, known)| behind(known, seen) == 0) {
            self.0 = None;
        }
        if behind(heads, seen) == 0 {
            self.0 = None;
            return Duration::ZERO;
        }
        let (since, _) = self.0.get_or_insert_with(|| (now, heads.to_vec()));
        now.duration_since(*since)
    }
}

/// What was seen above the heads. The heads are looked up now and then only, so a projection may be ahead of what is known of them;
/// but not for long.
#[derive(Default)]
pub(super) struct Lead(Option<(Instant, Seen)>);

impl Lead {
    /// How many events that were seen a while ago still lie above the heads.
    pub(super) fn observe(&mut self, heads: &[Position], seen: &Seen, now: Instant) -> u64 {
        if self.0.as_ref().is_some_and(|(_, known)| ahead(heads, known) == 0) {
            self.0 = None;
        }
        if ahead(heads, seen) == 0 {
            self.0 = None;
            return 0;
        }
        let (since, known) = self.0.get_or_insert_with(|| (now, seen.clone()));
        if now.duration_since(*since) < HEADS_WITHIN { 0 } else { ahead(heads, known) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::position::Shard;

    #[test]
    fn a_projection_that_moves_is_behind_by_its_own_delay_only() {
        // proves: OPS-3
        let at = |n| Position { shard: Shard(0), n };
        let seen = |n| {
            let mut seen = Seen::none(1);
            seen.advance(at(n));
            seen
        };
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut lag = Lag::default();
        assert_eq!(lag.observe(&[at(5)], &seen(5), start), Duration::ZERO);
        assert_eq!(lag.observe(&[at(9)], &seen(5), start), Duration::ZERO);
        assert_eq!(lag.observe(&[at(12)], &seen(8), start + 3 * second), 3 * second);
        // What was known at first is covered; what came since is looked at anew.
        assert_eq!(lag.observe(&[at(15)], &seen(9), start + 4 * second), Duration::ZERO);
        assert_eq!(lag.observe(&[at(15)], &seen(14), start + 5 * second), second);
        assert_eq!(lag.observe(&[at(15)], &seen(15), start + 6 * second), Duration::ZERO);
        assert_eq!(behind(&[at(15)], &seen(9)), 6);
    }

    #[test]
    fn a_projection_that_stays_above_the_heads_is_ahead_of_the_log() {
        // proves: EVT-7, OPS-3
        let at = |n| Position { shard: Shard(0), n };
        let seen = |n| {
            let mut seen = Seen::none(1);
            seen.advance(at(n));
            seen
        };
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut lead = Lead::default();
        // The heads follow: it was never ahead of the log itself.
        for n in 1..40 {
            assert_eq!(lead.observe(&[at(n)], &seen(n + 1), start + second * u32::try_from(n).unwrap()), 0);
        }
        let mut lead = Lead::default();
        assert_eq!(lead.observe(&[at(5)], &seen(9), start + 100 * second), 0);
        assert_eq!(lead.observe(&[at(6)], &seen(9), start + 111 * second), 3);
    }
}
