//! How far a followed projection is behind, in events and in time.

use std::time::Duration;

use domain::position::{Position, Seen};
use tokio::time::Instant;

/// How many events the heads are ahead.
pub(super) fn events(heads: &[Position], seen: &Seen) -> u64 {
    heads.iter().map(|head| head.n.saturating_sub(seen.last(head.shard))).sum()
}

/// Heads that weren't covered when they were looked at, and when that was.
#[derive(Default)]
pub(super) struct Lag(Option<(Instant, Vec<Position>)>);

impl Lag {
    /// For how long the oldest heads looked at that aren't covered yet have been known; nothing when all are.
    pub(super) fn observe(&mut self, heads: &[Position], seen: &Seen, now: Instant) -> Duration {
        if self.0.as_ref().is_some_and(|(_, known)| events(known, seen) == 0) {
            self.0 = None;
        }
        if events(heads, seen) == 0 {
            self.0 = None;
            return Duration::ZERO;
        }
        let (since, _) = self.0.get_or_insert_with(|| (now, heads.to_vec()));
        now.duration_since(*since)
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
        assert_eq!(events(&[at(15)], &seen(9)), 6);
    }
}
