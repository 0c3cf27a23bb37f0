//! Noticing an index that is gone while nothing is written to it.

use std::time::Duration;

use projections::engine::store::StoreError;

use super::ElasticsearchStore;
use super::open::raise;
use crate::elasticsearch::checkpoints;

/// How often it looks: one small request.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl ElasticsearchStore {
    /// Returns when an index that is written to is not the live one any more.
    pub(super) async fn watch(&self) {
        if self.beside {
            // Whoever builds beside the live indices writes, and finds out by that.
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match self.is_lost().await {
                Ok(true) => return,
                Ok(false) => {}
                // Not reachable: nothing is known, and the next write tells.
                Err(error) => tracing::debug!(%error, "can't look after the search indices"),
            }
        }
    }

    async fn is_lost(&self) -> Result<bool, StoreError> {
        // Those of another version are others' to look after.
        for open in self.all_opened().into_iter().filter(|open| open.foreign.is_none()) {
            let all = self.place(open.kind).list().await?;
            let mine = all.iter().find(|generation| generation.name == open.generation);
            // One that is being filled isn't live yet.
            let fits = mine.is_some_and(|mine| {
                mine.writable && (mine.live || open.filling.is_some()) && mine.newest() == open.part
            });
            if !fits {
                return Ok(true);
            }
            if open.filling.is_some() {
                // Others may have filled the rest, or shown it.
                if self.is_full(&open).await? {
                    self.refresh(false).await?;
                }
            } else {
                // Searches go through an alias of their own.
                if mine.is_some_and(|mine| !mine.searched) {
                    return Ok(true);
                }
                // What other processes have applied must be there again, too, should this index be lost.
                let applied = checkpoints::applied(&self.client, &open.alias(), open.stamp.shards).await?;
                self.update(open.kind, |open| raise(&mut open.applied, &applied));
            }
        }
        Ok(false)
    }
}
