//! Parts of an index that only grows: when another one takes over, and what the older ones hold already.

use std::collections::HashSet;
use std::time::Instant;

use projections::engine::rows::{RowChange, Value};
use projections::engine::store::StoreError;

use super::ElasticsearchStore;
use super::open::Open;
use crate::elasticsearch::checkpoints;
use crate::elasticsearch::client::Failure;
use crate::elasticsearch::generations::Generation;
use crate::search_document;

impl ElasticsearchStore {
    /// Has another part take over when the newest one is large.
    pub(super) async fn roll_over(&self, open: &Open) {
        let looked = open.sized.is_some_and(|at| at.elapsed() < self.large.look_every);
        if !open.kind.only_grows || looked {
            return;
        }
        self.update(open.kind, |open| open.sized = Some(Instant::now()));
        // Another refresh tries again, here or in another process.
        if let Err(error) = self.try_to_roll_over(open).await {
            tracing::warn!(index = open.part, %error, "no other part of the search index took over");
        }
    }

    /// The same, also for what somebody began and didn't end.
    pub(super) async fn try_to_roll_over(&self, open: &Open) -> Result<(), StoreError> {
        let (place, shards) = (self.place(open.kind), open.stamp.shards);
        // One that was replaced, or is about to be, stays as it is.
        let Some(found) = self.as_it_is(open).await?.filter(|found| found.writable) else { return Ok(()) };
        if !found.has_next && !place.is_large(found.newest(), shards, self.large).await? {
            return Ok(());
        }
        match place.roll_over(&found, shards).await {
            // Another process was at it too, and quicker.
            Ok(()) | Err(Failure::Lost(_)) => {}
            Err(failure) => return Err(failure.into()),
        }
        if let Some(now) = self.as_it_is(open).await? {
            self.update(open.kind, |open| open.writes_to(&now));
        }
        Ok(())
    }

    /// The generation that is written to, looked up.
    pub(super) async fn as_it_is(&self, open: &Open) -> Result<Option<Generation>, StoreError> {
        let all = self.place(open.kind).list().await?;
        Ok(all.into_iter().find(|generation| generation.name == open.generation))
    }

    /// The ids of changes whose documents an older part has: they were written before it was closed, but no checkpoint said so yet.
    pub(super) async fn written_before(
        &self,
        open: &Open,
        changes: &[RowChange],
    ) -> Result<HashSet<String>, StoreError> {
        let Some(older) = &open.older else { return Ok(HashSet::new()) };
        let below = changes.iter().filter(|change| {
            position(change).is_none_or(|(shard, n)| {
                older.through.positions().any(|through| through.shard.0 == shard && n <= through.n)
            })
        });
        let ids: Vec<String> = below.map(|change| search_document::id(&change.key)).collect();
        let mut found = HashSet::new();
        // The latest one first: most likely it is there.
        for part in older.parts.iter().rev() {
            let missing: Vec<String> = ids.iter().filter(|id| !found.contains(*id)).cloned().collect();
            if missing.is_empty() {
                break;
            }
            found.extend(checkpoints::present(&self.client, part, &missing).await?);
        }
        Ok(found)
    }
}

/// Where the event is that a document is of.
fn position(change: &RowChange) -> Option<(u16, u64)> {
    let value = |name| match change.set.iter().find(|(column, _)| *column == name) {
        Some((_, Value::Int(n))) => u64::try_from(*n).ok(),
        _ => None,
    };
    Some((u16::try_from(value("shard")?).ok()?, value("n")?))
}
