//! Marks: how far a projection has come, and of which making of its rows that is.

use std::fmt;
use std::sync::Arc;

use domain::position::Seen;

/// One making of a projection's rows, named by its store: another name means that the rows were begun anew.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Generation(Arc<str>);

impl Generation {
    /// The generation of this name.
    #[must_use]
    pub fn named(name: impl AsRef<str>) -> Self {
        Self(Arc::from(name.as_ref()))
    }

    /// There are no rows yet, or nothing is known of them.
    #[must_use]
    pub fn none() -> Self {
        Self::named("")
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Positions seen, and by which rows. A later mark may be lower: rows can be begun anew, or put back to an older state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The rows.
    pub generation: Generation,
    /// What they hold.
    pub seen: Seen,
}

impl Mark {
    /// Nothing seen in any of `shards` shards, by rows that aren't there.
    #[must_use]
    pub fn none(shards: u16) -> Self {
        Self { generation: Generation::none(), seen: Seen::none(shards) }
    }

    /// Whether rows at this mark hold all that they held at an earlier one: they are of the same making, and nothing is missing. What
    /// was true of the rows at `before` needn't be any more where they don't.
    #[must_use]
    pub fn continues(&self, before: &Self) -> bool {
        self.generation == before.generation
            && before.seen.positions().all(|position| self.seen.last(position.shard) >= position.n)
    }

    /// What both marks say is there: nothing of rows that aren't the same.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let mut seen = other.seen.clone();
        for position in other.seen.positions() {
            let n = if self.generation == other.generation { self.seen.last(position.shard) } else { 0 };
            seen.advance(domain::position::Position { n: n.min(position.n), ..position });
        }
        Self { generation: other.generation.clone(), seen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::position::{Position, Shard};

    fn mark(generation: &str, n: [u64; 2]) -> Mark {
        let heads = [0, 1].map(|shard| Position { shard: Shard(shard), n: n[usize::from(shard)] });
        Mark { generation: Generation::named(generation), seen: Seen::up_to(&heads) }
    }

    #[test]
    fn a_lower_position_or_another_generation_continues_nothing() {
        assert!(mark("1", [4, 5]).continues(&mark("1", [4, 4])));
        assert!(!mark("1", [4, 3]).continues(&mark("1", [3, 4])));
        assert!(!mark("2", [9, 9]).continues(&mark("1", [4, 4])));
    }

    #[test]
    fn marks_have_in_common_what_both_hold_of_the_same_rows() {
        assert_eq!(mark("1", [4, 5]).common(&mark("1", [6, 3])), mark("1", [4, 3]));
        assert_eq!(mark("1", [4, 5]).common(&mark("2", [6, 3])), mark("2", [0, 0]));
    }
}
