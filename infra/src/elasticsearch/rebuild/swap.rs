//! Replacing the live generation.

use domain::position::{Position, Seen};
use projections::engine::store::{RowStore as _, StoreError};

use super::scratch::ScratchLetters;
use super::{Fresh, IndexRebuild};
use crate::elasticsearch::bulk::{self, Written};
use crate::elasticsearch::checkpoints;
use crate::elasticsearch::generations::{Generation, IndexPlace};
use crate::elasticsearch::mapping::index_of;
use crate::feed::find_heads;
use crate::rebuild::fill::Fill;
use crate::rebuild::{Phase, RebuildError};

/// The live generation isn't held before this few events are missing.
const CLOSE: u64 = 2_000;
/// After so many rounds it is held anyway: it may be faster than the rebuild.
const ROUNDS: usize = 10;
/// Letters of a stream that are looked at and settled at once.
const LETTERS: usize = 500;

impl IndexRebuild {
    /// Brings the new generation close to the live one, without holding that up.
    pub(super) async fn approach(
        &self,
        live: Option<&Generation>,
        fresh: &Fresh,
    ) -> Result<(), RebuildError> {
        for _ in 0..ROUNDS {
            let target = self.target(live, fresh).await?;
            let has = fresh.store.load(fresh.projection.name()).await?.seen;
            let missing: u64 = target.positions().map(|p| p.n.saturating_sub(has.last(p.shard))).sum();
            if missing <= CLOSE {
                break;
            }
            self.catch_up(fresh, &target).await?;
        }
        Ok(())
    }

    async fn catch_up(&self, fresh: &Fresh, target: &Seen) -> Result<(), RebuildError> {
        let only = std::slice::from_ref(&fresh.projection);
        Fill::new(fresh.store.clone(), only, &self.log).run(target, Phase::CatchUp, &mut |_| {}).await
    }

    /// Where the new generation should come to for now.
    async fn target(&self, live: Option<&Generation>, fresh: &Fresh) -> Result<Seen, RebuildError> {
        let Some(live) = live else { return Ok(Seen::up_to(&find_heads(self.log.as_ref()).await?)) };
        let kind = index_of(&fresh.projection)?;
        // Another part may have taken over since.
        let live = IndexPlace { client: &self.client, url: &self.url, kind }.again(live).await?;
        let applied = checkpoints::applied(&self.client, live.newest(), self.log.store().shards).await;
        Ok(applied?)
    }

    /// Holds the live generation, brings the new one to where it is, and replaces it.
    pub(super) async fn swap(
        &self,
        place: IndexPlace<'_>,
        live: Option<&Generation>,
        fresh: &Fresh,
        shards: u16,
    ) -> Result<(), RebuildError> {
        let Some(live) = live else {
            return self.replace(place, None, fresh, shards).await;
        };
        let held = place.hold(live).await?;
        let replaced = self.replace(place, Some(&held), fresh, shards).await;
        if replaced.is_err() {
            // Whoever writes to it shall not wait until the hold ends by itself, which it does if this fails.
            let all = std::slice::from_ref(&held);
            if let Err(error) = place.go_live(&held.name, all).await {
                tracing::warn!(index = held.name, ?error, "the index takes no writes for a while");
            }
        }
        replaced
    }

    async fn replace(
        &self,
        place: IndexPlace<'_>,
        held: Option<&Generation>,
        fresh: &Fresh,
        shards: u16,
    ) -> Result<(), RebuildError> {
        let target = self.target(held, fresh).await?;
        self.catch_up(fresh, &target).await?;
        fresh.store.publish().await?;
        if let Some(letters) = &fresh.letters {
            let name = fresh.projection.name();
            if let Some(held) = held {
                self.lower(place, held, name, letters, shards).await?;
            }
            self.letters.park(name, letters.all(name)).await?;
        }
        place.go_live(&fresh.name, held.map_or(&[], std::slice::from_ref)).await?;
        Ok(())
    }

    /// Has the replaced generation, should it come back, apply the events again whose letters go with the swap.
    async fn lower(
        &self,
        place: IndexPlace<'_>,
        held: &Generation,
        name: &'static str,
        letters: &ScratchLetters,
        shards: u16,
    ) -> Result<(), RebuildError> {
        let mut low = checkpoints::applied(&self.client, held.newest(), shards).await?;
        let before = low.clone();
        for (stream, first) in self.letters.parked(name).await?.0 {
            if letters.first(name, &stream) == Some(first) {
                continue;
            }
            // The oldest letter of a stream has its lowest position.
            for letter in self.letters.oldest(name, &stream, 1).await? {
                let at = letter.event.position;
                if at.n <= low.last(at.shard) {
                    low.advance(Position { shard: at.shard, n: at.n.saturating_sub(1) });
                }
            }
        }
        let lowered: Vec<Position> = low.positions().filter(|p| p.n != before.last(p.shard)).collect();
        let ids: Vec<String> = lowered.iter().map(|p| checkpoints::id(p.shard)).collect();
        if lowered.is_empty() {
            return Ok(());
        }
        let stored = checkpoints::read(&self.client, held.newest(), &ids).await?;
        let writes: Vec<_> = lowered
            .iter()
            .map(|to| {
                let stored = stored.iter().find(|stored| stored.id == checkpoints::id(to.shard));
                checkpoints::moved(place.kind, stored, *to, None)
            })
            .collect();
        let alias = held.write_alias();
        let written = bulk::write(&self.client, &alias, &writes).await?;
        if written.contains(&Written::Conflict) {
            return Err(StoreError::Moved(name.to_owned()).into());
        }
        Ok(())
    }

    /// Settles the letters that the new generation has no need of.
    pub(super) async fn settle(&self, fresh: &Fresh) -> Result<(), RebuildError> {
        let Some(built) = &fresh.letters else { return Ok(()) };
        let name = fresh.projection.name();
        for (stream, _) in self.letters.parked(name).await?.0 {
            let first = built.first(name, &stream);
            loop {
                let mut letters = self.letters.oldest(name, &stream, LETTERS).await?;
                letters.retain(|letter| first.is_none_or(|first| letter.event.version < first));
                if letters.is_empty() {
                    break;
                }
                let positions = letters.iter().map(|letter| letter.event.position).collect();
                match self.letters.settle(name, positions).await {
                    // A runner has been quicker to redrive, or another one parked more: look again.
                    Ok(()) | Err(StoreError::Moved(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}
