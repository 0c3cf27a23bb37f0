//! How far a projection is behind the log, in events; or ahead of it.

use domain::position::{Position, Seen};

/// How many events the heads are ahead of what was seen.
pub(crate) fn behind(heads: &[Position], seen: &Seen) -> u64 {
    heads.iter().map(|head| head.n.saturating_sub(seen.last(head.shard))).sum()
}

/// How many events were seen that lie above the heads.
pub(crate) fn ahead(heads: &[Position], seen: &Seen) -> u64 {
    heads.iter().map(|head| seen.last(head.shard).saturating_sub(head.n)).sum()
}

/// What status tells: nothing that is ahead in one shard makes up for what is behind in another.
pub(crate) fn told(behind: u64, ahead: u64) -> i64 {
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    if ahead > 0 { -signed(ahead) } else { signed(behind) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::position::Shard;

    // proves: EVT-7, OPS-3
    #[test]
    fn what_is_ahead_of_the_log_is_told_and_makes_up_for_nothing() {
        let heads = [Position { shard: Shard(0), n: 5 }, Position { shard: Shard(1), n: 5 }];
        let seen = |zero, one| {
            let mut seen = Seen::none(2);
            seen.advance(Position { shard: Shard(0), n: zero });
            seen.advance(Position { shard: Shard(1), n: one });
            seen
        };
        let lag = |seen: &Seen| told(behind(&heads, seen), ahead(&heads, seen));
        assert_eq!(lag(&seen(5, 5)), 0);
        assert_eq!(lag(&seen(1, 3)), 6);
        assert_eq!(lag(&seen(7, 5)), -2);
        assert_eq!(lag(&seen(3, 7)), -2);
    }
}
