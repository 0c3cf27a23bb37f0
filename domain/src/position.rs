//! Shards, positions and the Sync-Token.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest number of shards of a store.
pub const MAX_SHARDS: u16 = 1024;

/// One of the N independent logs of a store, numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shard(pub u16);

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The n-th event of a shard, dense from 1; written `shard:n`. `n = 0` stands for "before the first event".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The shard.
    pub shard: Shard,
    /// The event's place in the shard, from 1.
    pub n: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.shard, self.n)
    }
}

/// Why a text is no position or no Sync-Token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a position of the form shard:n")]
pub struct MalformedPosition(String);

fn decimal<T: FromStr>(text: &str) -> Option<T> {
    let canonical = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    canonical.then(|| text.parse().ok()).flatten()
}

impl FromStr for Position {
    type Err = MalformedPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split_once(':')
            .and_then(|(shard, n)| Some(Self { shard: Shard(decimal(shard)?), n: decimal(n)? }))
            .ok_or_else(|| MalformedPosition(text.chars().take(60).collect()))
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The positions a reader must have seen: at most one per shard, in shard order; written `shard:n[,shard:n…]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncToken(Vec<Position>);

impl SyncToken {
    /// The token of one position.
    #[must_use]
    pub fn of(position: Position) -> Self {
        Self(vec![position])
    }

    /// Adds a position; of two in one shard the later one counts.
    pub fn add(&mut self, position: Position) {
        match self.0.binary_search_by_key(&position.shard, |p| p.shard) {
            Ok(at) => self.0[at].n = self.0[at].n.max(position.n),
            Err(at) => self.0.insert(at, position),
        }
    }

    /// The positions, in shard order.
    #[must_use]
    pub fn positions(&self) -> &[Position] {
        &self.0
    }
}

impl fmt::Display for SyncToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, position) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            position.fmt(f)?;
        }
        Ok(())
    }
}

impl FromStr for SyncToken {
    type Err = MalformedPosition;

    /// Accepts optional spaces after the commas; an empty text is malformed.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut token = Self::default();
        for part in text.split(',') {
            token.add(part.trim().parse()?);
        }
        Ok(token)
    }
}

/// The positions that a consumer has seen without a gap, one per shard (P7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen(Vec<u64>);

/// What P7 says of an arriving position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The next one: apply it.
    Next,
    /// Applied before: drop it.
    Repeat,
    /// Events after `last` are missing: fetch them from the log first.
    Gap {
        /// The last position seen in the shard.
        last: u64,
    },
}

impl Seen {
    /// Nothing seen in any of `shards` shards.
    #[must_use]
    pub fn none(shards: u16) -> Self {
        Self(vec![0; usize::from(shards)])
    }

    /// Everything up to these heads, which are one for each shard of the store.
    #[must_use]
    pub fn up_to(heads: &[Position]) -> Self {
        let mut seen = Self::none(u16::try_from(heads.len()).unwrap_or(u16::MAX));
        heads.iter().for_each(|head| seen.advance(*head));
        seen
    }

    /// The last position seen in the shard; 0 for none, and for a shard that the store doesn't have.
    #[must_use]
    pub fn last(&self, shard: Shard) -> u64 {
        self.0.get(usize::from(shard.0)).copied().unwrap_or(0)
    }

    /// Classifies an arriving position.
    #[must_use]
    pub fn arrival(&self, position: Position) -> Arrival {
        let last = self.last(position.shard);
        match position.n {
            n if n <= last => Arrival::Repeat,
            n if n == last + 1 => Arrival::Next,
            _ => Arrival::Gap { last },
        }
    }

    /// Records a position as the last one seen of its shard.
    pub fn advance(&mut self, position: Position) {
        if let Some(last) = self.0.get_mut(usize::from(position.shard.0)) {
            *last = position.n;
        }
    }

    /// Whether every position of the token has been seen.
    #[must_use]
    pub fn covers(&self, token: &SyncToken) -> bool {
        token.positions().iter().all(|p| self.last(p.shard) >= p.n)
    }

    /// One position per shard, in shard order.
    pub fn positions(&self) -> impl Iterator<Item = Position> + '_ {
        (0_u16..).zip(&self.0).map(|(shard, n)| Position { shard: Shard(shard), n: *n })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_keep_the_later_position() {
        let token: SyncToken = "3:7, 1:2,3:9".parse().unwrap();
        assert_eq!(token.to_string(), "1:2,3:9");
    }

    #[test]
    fn malformed_tokens_are_refused() {
        for text in ["", "1", "1:", ":1", "1:2,", "a:1", "1:-1", "01:2", "70000:1", "1:+2", "1:2:3"] {
            assert!(text.parse::<SyncToken>().is_err(), "{text}");
        }
    }

    #[test]
    fn arrivals_are_next_repeat_or_gap() {
        let at = |n| Position { shard: Shard(1), n };
        let mut seen = Seen::none(2);
        assert_eq!(seen.arrival(at(1)), Arrival::Next);
        seen.advance(at(1));
        assert_eq!(seen.arrival(at(1)), Arrival::Repeat);
        assert_eq!(seen.arrival(at(3)), Arrival::Gap { last: 1 });
    }
}
