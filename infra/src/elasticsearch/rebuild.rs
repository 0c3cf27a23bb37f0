//! Rebuild beside the live indices, while servers run.
//!
//! A new generation is filled from the log and compared with the live one. Then nobody may write to the live one for a moment: the
//! new one catches up with it and takes its aliases in one step, so no reader goes back in time. The old generation stays for a
//! [`rollback`], older ones go. Runners notice by themselves and go on from the new one's checkpoints. A crash leaves a generation
//! that the next rebuild removes, and at worst a live one that takes no writes for a minute. A second rebuild at the same time ends
//! the first one.

mod compare;
mod scratch;

use std::sync::Arc;

use ::elasticsearch::http::Method;
use domain::ports::log::LogReader;
use domain::position::{Position, Seen};
use projections::model::Projection;
use projections::store::{DeadLetters, RowStore as _, StoreError};

use self::compare::{Comparison, compare};
use self::scratch::ScratchLetters;
use super::bulk::{self, Written};
use super::client::{Answer, Client, Failure};
use super::generations::{Generation, Place, Stamp};
use super::kinds::Kind;
use super::store::ElasticsearchStore;
use super::url::ElasticsearchUrl;
use super::{checkpoints, projections};
use crate::feed::find_heads;
use crate::rebuild::fill::Fill;
use crate::rebuild::{Phase, RebuildError, RebuildProgress, RebuildReport};

/// The live generation isn't held before this few events are missing.
const CLOSE: u64 = 2_000;
/// After so many rounds it is held anyway: it may be faster than the rebuild.
const ROUNDS: usize = 10;
/// Letters of a stream that are looked at and settled at once.
const LETTERS: usize = 500;

/// Rebuilds the named search projections, or all when none is named, from the log. `letters` are the live dead letters.
///
/// # Errors
/// [`RebuildError`]; the live indices are as they were, but for those already swapped.
pub async fn rebuild(
    url: &ElasticsearchUrl,
    letters: Arc<dyn DeadLetters>,
    wanted: &[String],
    log: Arc<dyn LogReader>,
    progress: &mut (dyn FnMut(RebuildProgress) + Send),
) -> Result<Vec<RebuildReport>, RebuildError> {
    check_names(wanted)?;
    let work = Work { client: Client::new(url)?, url: url.clone(), letters, log };
    let mut reports = Vec::new();
    for projection in projections() {
        if wanted.is_empty() || wanted.iter().any(|name| name == projection.name()) {
            reports.push(work.rebuild(&projection, progress).await?);
        }
    }
    Ok(reports)
}

/// Has readers find the previous generation again. It is as old as its checkpoints until the runner has brought it up to date;
/// events that were parked since stay parked until redriven. Doing it twice undoes it.
///
/// # Errors
/// [`RebuildError::NoPrevious`] when there is none that this program could go on writing.
pub async fn rollback(
    url: &ElasticsearchUrl,
    letters: Arc<dyn DeadLetters>,
    projection: &str,
) -> Result<(), RebuildError> {
    check_names(&[projection.to_owned()])?;
    let client = Client::new(url)?;
    let none = || RebuildError::NoPrevious(projection.to_owned());
    let of_name = projections().into_iter().find(|p| p.name() == projection).ok_or_else(none)?;
    let kind = Kind::of(projection).ok_or_else(none)?;
    let place = Place { client: &client, url, kind };
    let all = place.list().await?;
    let live = all.iter().find(|generation| generation.live).and_then(|live| live.stamp.as_ref());
    let shards = live.ok_or_else(none)?.shards;
    let stamp = Stamp::new(kind, of_name.version(), letters.id().await?, shards);
    let kept = all.iter().rfind(|g| !g.live && !g.writable && g.stamp.as_ref() == Some(&stamp));
    let kept = kept.ok_or_else(none)?;
    place.go_live(&kept.name, &all).await?;
    tracing::info!(index = kept.name, "went back to the search index before");
    Ok(())
}

fn check_names(wanted: &[String]) -> Result<(), RebuildError> {
    let all: Vec<&str> = Kind::all().iter().map(|kind| kind.projection).collect();
    match wanted.iter().find(|name| !all.contains(&name.as_str())) {
        Some(unknown) => Err(RebuildError::UnknownProjection(unknown.clone(), all.join(", "))),
        None => Ok(()),
    }
}

struct Work {
    client: Client,
    url: ElasticsearchUrl,
    letters: Arc<dyn DeadLetters>,
    log: Arc<dyn LogReader>,
}

/// A generation being built.
struct Fresh {
    projection: Arc<dyn Projection>,
    store: Arc<ElasticsearchStore>,
    letters: Arc<ScratchLetters>,
    name: String,
}

impl Work {
    async fn rebuild(
        &self,
        projection: &Arc<dyn Projection>,
        progress: &mut (dyn FnMut(RebuildProgress) + Send),
    ) -> Result<RebuildReport, RebuildError> {
        let name = projection.name();
        let kind = Kind::of(name).ok_or_else(|| StoreError::Unavailable(format!("no index of {name}")))?;
        let place = Place { client: &self.client, url: &self.url, kind };
        let all = place.list().await?;
        let leftovers: Vec<String> =
            all.into_iter().filter(|g| !g.live && g.writable).map(|g| g.name).collect();
        place.remove(&leftovers).await?;

        let heads = seen(&find_heads(self.log.as_ref()).await?);
        let shards = self.log.store().shards;
        let stamp = Stamp::new(kind, projection.version(), self.letters.id().await?, shards);
        let live = place.live().await?;
        let comparable = live.as_ref().filter(|live| live.stamp.as_ref() == Some(&stamp));
        let only = std::slice::from_ref(projection);
        if comparable.is_some() {
            let store = Arc::new(ElasticsearchStore::new(&self.url, Arc::clone(&self.letters))?);
            Fill::new(store, only, &self.log).run(&heads, Phase::CatchUp, progress).await?;
        }
        let fresh = self.fresh(projection, shards).await?;
        Fill::new(fresh.store.clone(), only, &self.log).run(&heads, Phase::Search, progress).await?;
        fresh.store.publish().await?;
        let found = self.compare(kind, comparable, &fresh).await?;
        let parked = fresh.letters.count(name);

        progress(RebuildProgress { phase: Phase::Swap, done: 0, total: 1 });
        self.approach(comparable, &fresh).await?;
        self.swap(place, live.as_ref(), &fresh, shards).await?;
        tracing::info!(index = fresh.name, "swapped in what was rebuilt");
        self.settle(&fresh).await?;
        place.retire(&fresh.name, live.as_ref().map(|live| live.name.as_str())).await?;
        progress(RebuildProgress { phase: Phase::Swap, done: 1, total: 1 });
        Ok(RebuildReport {
            projection: name,
            events: heads.positions().map(|p| p.n).sum(),
            parked,
            rows: found.rows,
            differing_rows: found.differing,
            digest_before: found.digest_before,
            digest_after: found.digest_after,
        })
    }

    async fn fresh(&self, projection: &Arc<dyn Projection>, shards: u16) -> Result<Fresh, RebuildError> {
        let letters = Arc::new(ScratchLetters::new(self.letters.id().await?));
        let store = Arc::new(ElasticsearchStore::beside(&self.url, letters.clone())?);
        store.prepare(std::slice::from_ref(projection), shards).await?;
        let name = store.generation(projection.name())?;
        Ok(Fresh { projection: Arc::clone(projection), store, letters, name })
    }

    /// Compares with the live generation, as far as both have come.
    async fn compare(
        &self,
        kind: &'static Kind,
        live: Option<&Generation>,
        fresh: &Fresh,
    ) -> Result<Comparison, RebuildError> {
        if let Some(live) = live {
            let path = format!("/{}/_refresh", live.name);
            let refreshed = self.client.ask(Method::Post, &path).await.and_then(Answer::ok);
            refreshed?;
        }
        Ok(compare(&self.client, kind, live.map(|live| live.name.as_str()), &fresh.name).await?)
    }

    /// Brings the new generation close to the live one, without holding that up.
    async fn approach(&self, live: Option<&Generation>, fresh: &Fresh) -> Result<(), RebuildError> {
        for _ in 0..ROUNDS {
            let target = self.target(live).await?;
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
    async fn target(&self, live: Option<&Generation>) -> Result<Seen, RebuildError> {
        let Some(live) = live else { return Ok(seen(&find_heads(self.log.as_ref()).await?)) };
        let applied = checkpoints::applied(&self.client, &live.name, self.log.store().shards).await;
        Ok(applied?)
    }

    /// Holds the live generation, brings the new one to where it is, and replaces it.
    async fn swap(
        &self,
        place: Place<'_>,
        live: Option<&Generation>,
        fresh: &Fresh,
        shards: u16,
    ) -> Result<(), RebuildError> {
        let Some(live) = live else {
            return self.replace(place, None, fresh, shards).await;
        };
        let held = place.hold(&live.name).await?;
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
        place: Place<'_>,
        held: Option<&Generation>,
        fresh: &Fresh,
        shards: u16,
    ) -> Result<(), RebuildError> {
        let target = self.target(held).await?;
        self.catch_up(fresh, &target).await?;
        fresh.store.publish().await?;
        if let Some(held) = held {
            self.lower(place, held, fresh, shards).await?;
        }
        let name = fresh.projection.name();
        self.letters.park(name, fresh.letters.all(name)).await?;
        place.go_live(&fresh.name, held.map_or(&[], std::slice::from_ref)).await?;
        Ok(())
    }

    /// Has the replaced generation, should it come back, apply the events again whose letters go with the swap.
    async fn lower(
        &self,
        place: Place<'_>,
        held: &Generation,
        fresh: &Fresh,
        shards: u16,
    ) -> Result<(), RebuildError> {
        let name = fresh.projection.name();
        let mut low = checkpoints::applied(&self.client, &held.name, shards).await?;
        let before = low.clone();
        for (stream, first) in self.letters.parked(name).await?.0 {
            if fresh.letters.first(name, &stream) == Some(first) {
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
        let stored = checkpoints::read(&self.client, &held.name, &ids).await?;
        let writes: Vec<_> = lowered
            .iter()
            .map(|to| {
                checkpoints::moved(place.kind, stored.iter().find(|s| s.id == checkpoints::id(to.shard)), *to)
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
    async fn settle(&self, fresh: &Fresh) -> Result<(), RebuildError> {
        let name = fresh.projection.name();
        for (stream, _) in self.letters.parked(name).await?.0 {
            let first = fresh.letters.first(name, &stream);
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

fn seen(heads: &[Position]) -> Seen {
    let mut seen = Seen::none(u16::try_from(heads.len()).unwrap_or(u16::MAX));
    heads.iter().for_each(|head| seen.advance(*head));
    seen
}

impl From<Failure> for RebuildError {
    fn from(failure: Failure) -> Self {
        Self::Store(failure.into())
    }
}
