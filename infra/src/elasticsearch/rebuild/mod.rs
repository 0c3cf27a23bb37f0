//! Rebuild beside the live indices, while servers run.
//!
//! A new generation is filled from the log and compared with the live one. Then nobody may write to the live one for a moment: the
//! new one catches up with it and takes its aliases in one step, so no reader goes back in time. The old generation stays for a
//! [`rollback`], older ones go. Runners notice by themselves and go on from the new one's checkpoints. A crash leaves a generation
//! that the next rebuild removes, and at worst a live one that takes no writes for a minute. A second rebuild at the same time ends
//! the first one.

mod compare;
mod scratch;
mod swap;

use std::sync::Arc;

use ::elasticsearch::http::Method;
use domain::ports::log::LogReader;
use domain::position::Seen;
use projections::engine::index::SearchIndex;
use projections::engine::model::Projection;
use projections::engine::store::{DeadLetters, RowStore as _};

use self::compare::{Comparison, compare};
use self::scratch::ScratchLetters;
use super::client::{Answer, Client, Failure};
use super::generations::{Generation, IndexPlace, Stamp};
use super::mapping::index_of;
use super::parts::every;
use super::store::ElasticsearchStore;
use super::url::ElasticsearchUrl;
use crate::feed::find_heads;
use crate::rebuild::fill::Fill;
use crate::rebuild::{Phase, RebuildError, RebuildProgress, RebuildReport};

/// Rebuilds the named search projections, or all when none is named, from the log. `letters` are the live dead letters.
///
/// # Errors
/// [`RebuildError`]; the live indices are as they were, but for those already swapped.
pub async fn rebuild(
    url: &ElasticsearchUrl,
    letters: Arc<dyn DeadLetters>,
    projections: &[Arc<dyn Projection>],
    wanted: &[String],
    log: Arc<dyn LogReader>,
    progress: &mut (dyn FnMut(RebuildProgress) + Send),
) -> Result<Vec<RebuildReport>, RebuildError> {
    check_names(projections, wanted)?;
    let work = IndexRebuild { client: Client::new(url)?, url: url.clone(), letters, log };
    let mut reports = Vec::new();
    for projection in projections {
        if wanted.is_empty() || wanted.iter().any(|name| name == projection.name()) {
            reports.push(work.rebuild(projection, progress).await?);
        }
    }
    Ok(reports)
}

/// Fills this program's version of projections beside the live indices where these are of an older one, and swaps each in when it has
/// caught up. Processes of the older version keep reading and feeding the live ones until then.
///
/// # Errors
/// [`RebuildError`]: repeat later.
pub async fn renew(
    url: &ElasticsearchUrl,
    letters: Arc<dyn DeadLetters>,
    wanted: &[Arc<dyn Projection>],
    log: Arc<dyn LogReader>,
) -> Result<(), RebuildError> {
    let work = IndexRebuild { client: Client::new(url)?, url: url.clone(), letters, log };
    for projection in wanted {
        work.renew(projection).await?;
    }
    Ok(())
}

/// Has readers find the previous generation again, brought up to date before. Events that were parked since stay parked until
/// redriven. Doing it twice undoes it.
///
/// A previous generation of another version than this program's is shown as it is: a program of that version brings it up to date,
/// and this one's servers can't write it.
///
/// # Errors
/// [`RebuildError::NoPrevious`] when there is none.
pub async fn rollback(
    url: &ElasticsearchUrl,
    letters: Arc<dyn DeadLetters>,
    projections: &[Arc<dyn Projection>],
    projection: &str,
    log: Arc<dyn LogReader>,
) -> Result<(), RebuildError> {
    check_names(projections, &[projection.to_owned()])?;
    let none = || RebuildError::NoPrevious(projection.to_owned());
    let found = projections.iter().find(|p| p.name() == projection).cloned().ok_or_else(none)?;
    let work = IndexRebuild { client: Client::new(url)?, url: url.clone(), letters, log };
    work.roll_back(found).await
}

fn check_names(projections: &[Arc<dyn Projection>], wanted: &[String]) -> Result<(), RebuildError> {
    let all: Vec<&str> = projections.iter().map(|projection| projection.name()).collect();
    match wanted.iter().find(|name| !all.contains(&name.as_str())) {
        Some(unknown) => Err(RebuildError::UnknownProjection(unknown.clone(), all.join(", "))),
        None => Ok(()),
    }
}

struct IndexRebuild {
    client: Client,
    url: ElasticsearchUrl,
    letters: Arc<dyn DeadLetters>,
    log: Arc<dyn LogReader>,
}

/// A generation being built.
struct Fresh {
    projection: Arc<dyn Projection>,
    store: Arc<ElasticsearchStore>,
    /// What takes the place of the live dead letters; `None` when it goes by those.
    letters: Option<Arc<ScratchLetters>>,
    name: String,
}

impl IndexRebuild {
    async fn rebuild(
        &self,
        projection: &Arc<dyn Projection>,
        progress: &mut (dyn FnMut(RebuildProgress) + Send),
    ) -> Result<RebuildReport, RebuildError> {
        let name = projection.name();
        let kind = index_of(projection)?;
        let place = IndexPlace { client: &self.client, url: &self.url, kind };
        remove_unfinished(place).await?;
        let heads = Seen::up_to(&find_heads(self.log.as_ref()).await?);
        let shards = self.log.store().shards;
        let stamp = Stamp::new(kind, projection.version(), self.letters.id().await?, self.log.store());
        let live = place.live().await?;
        if let Some(live) = &live {
            live.belongs_to(self.log.store().id)?;
        }
        let comparable = live.as_ref().filter(|live| live.stamp.as_ref() == Some(&stamp));
        let only = std::slice::from_ref(projection);
        if comparable.is_some() {
            let (letters, log) = (Arc::clone(&self.letters), Arc::clone(&self.log));
            let store = Arc::new(ElasticsearchStore::new(&self.url, only, letters, log)?);
            Fill::new(store, only, &self.log).run(&heads, Phase::CatchUp, progress).await?;
        }
        let fresh = self.fresh(projection).await?;
        Fill::new(fresh.store.clone(), only, &self.log).run(&heads, Phase::Search, progress).await?;
        fresh.store.publish().await?;
        let found = self.compare(kind, comparable, &fresh).await?;
        let parked = fresh.letters.as_ref().map_or(0, |letters| letters.count(name));

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
            only_live: found.only_live,
            only_built: found.only_built,
            examples: found.examples,
            digest_before: found.digest_before,
            digest_after: found.digest_after,
        })
    }

    async fn renew(&self, projection: &Arc<dyn Projection>) -> Result<(), RebuildError> {
        let kind = index_of(projection)?;
        let place = IndexPlace { client: &self.client, url: &self.url, kind };
        let shards = self.log.store().shards;
        let stamp = Stamp::new(kind, projection.version(), self.letters.id().await?, self.log.store());
        // Where nothing is live, whoever writes next makes what goes live when it is filled.
        let Some(live) = place.live().await?.filter(|live| live.is_older(&stamp)) else { return Ok(()) };
        tracing::info!(
            index = live.name,
            version = stamp.version,
            "filling this version beside the live index"
        );
        remove_unfinished(place).await?;
        let fresh = self.fresh(projection).await?;
        self.approach(None, &fresh).await?;
        fresh.store.publish().await?;
        self.swap(place, Some(&live), &fresh, shards).await?;
        tracing::info!(index = fresh.name, "swapped in what was filled");
        self.settle(&fresh).await?;
        Ok(place.retire(&fresh.name, Some(&live.name)).await?)
    }

    async fn roll_back(&self, projection: Arc<dyn Projection>) -> Result<(), RebuildError> {
        let (name, kind) = (projection.name(), index_of(&projection)?);
        let place = IndexPlace { client: &self.client, url: &self.url, kind };
        let live = place.live().await?;
        let all = place.list().await?;
        let shards = self.log.store().shards;
        let stamp = Stamp::new(kind, projection.version(), self.letters.id().await?, self.log.store());
        let mut kept = all.iter().filter(|g| !g.live && !g.writable && g.filling.is_none());
        let kept = kept.rfind(|kept| kept.stamp.as_ref().is_some_and(|s| s.letters == stamp.letters));
        let kept = kept.ok_or_else(|| RebuildError::NoPrevious(name.to_owned()))?;
        if kept.stamp.as_ref() != Some(&stamp) {
            return Ok(place.go_live(&kept.name, &all).await?);
        }
        place.make_writable(&kept.name).await?;
        let kept = &place.again(kept).await?;
        let (letters, log) = (Arc::clone(&self.letters), Arc::clone(&self.log));
        let store = ElasticsearchStore::at(&self.url, &projection, letters, log, stamp, kept)?;
        let fresh = Fresh { projection, store: Arc::new(store), letters: None, name: kept.name.clone() };
        self.approach(live.as_ref(), &fresh).await?;
        self.swap(place, live.as_ref(), &fresh, shards).await?;
        tracing::info!(index = fresh.name, "went back to the search index before");
        Ok(())
    }

    async fn fresh(&self, projection: &Arc<dyn Projection>) -> Result<Fresh, RebuildError> {
        let letters = Arc::new(ScratchLetters::new(self.letters.id().await?));
        let (only, log) = (std::slice::from_ref(projection), Arc::clone(&self.log));
        let store = Arc::new(ElasticsearchStore::beside(&self.url, only, letters.clone(), log)?);
        store.prepare(only, self.log.store()).await?;
        let name = store.generation(projection.name())?;
        Ok(Fresh { projection: Arc::clone(projection), store, letters: Some(letters), name })
    }

    /// Compares with the live generation, as far as both have come.
    async fn compare(
        &self,
        kind: &'static SearchIndex,
        live: Option<&Generation>,
        fresh: &Fresh,
    ) -> Result<Comparison, RebuildError> {
        if let Some(live) = live {
            let path = format!("/{}/_refresh", every(&live.name));
            let refreshed = self.client.ask(Method::Post, &path).await.and_then(Answer::ok);
            refreshed?;
        }
        Ok(compare(&self.client, kind, live.map(|live| live.name.as_str()), &fresh.name).await?)
    }
}

/// Removes what others began to build and didn't finish.
async fn remove_unfinished(place: IndexPlace<'_>) -> Result<(), RebuildError> {
    let all = place.list().await?.into_iter();
    let begun = all.filter(|g| !g.live && g.writable && g.filling.is_none()).map(|g| g.name);
    Ok(place.remove(&begun.collect::<Vec<_>>()).await?)
}

impl From<Failure> for RebuildError {
    fn from(failure: Failure) -> Self {
        Self::Store(failure.into())
    }
}
