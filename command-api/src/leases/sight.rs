//! How long every row has stayed unchanged. Only this process's own monotonic clock counts: what another one's says is never compared.

use std::time::Duration;

use domain::ports::leases::{Instance, Lease};
use domain::position::Shard;
use tokio::time::Instant;

/// The rows as last seen, and since when each one is as it is.
#[derive(Debug, Default)]
pub(super) struct Sight(Vec<(Lease, Instant)>);

impl Sight {
    /// Takes in all rows, in shard order.
    pub(super) fn see(&mut self, rows: Vec<Lease>, now: Instant) {
        let old = std::mem::take(&mut self.0);
        let since = |row: &Lease| {
            let before = old.get(usize::from(row.shard.0));
            before
                .filter(|(seen, _)| (seen.beat, &seen.owner) == (row.beat, &row.owner))
                .map(|(_, since)| *since)
        };
        self.0 = rows
            .into_iter()
            .map(|row| (since(&row).unwrap_or(now), row))
            .map(|(at, row)| (row, at))
            .collect();
    }

    /// Takes in one row that was just written, or stood in the way of a write.
    pub(super) fn see_one(&mut self, row: Lease, now: Instant) {
        if let Some(seen) = self.0.get_mut(usize::from(row.shard.0))
            && (seen.0.beat, &seen.0.owner) != (row.beat, &row.owner)
        {
            *seen = (row, now);
        }
    }

    /// The row of a shard.
    pub(super) fn row(&self, shard: Shard) -> Option<&Lease> {
        self.0.get(usize::from(shard.0)).map(|(row, _)| row)
    }

    /// Every row, with how long it has been as it is.
    pub(super) fn rows(&self, now: Instant) -> impl Iterator<Item = (&Lease, Duration)> {
        self.0.iter().map(move |(row, since)| (row, now.saturating_duration_since(*since)))
    }

    /// The owner in a shard's row.
    pub(super) fn owner(&self, shard: Shard) -> Option<&Instance> {
        self.row(shard).and_then(|row| row.owner.as_ref())
    }
}
