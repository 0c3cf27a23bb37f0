//! Rebuild: projections made again from the log, beside the live ones, compared with them, and put in their place.
//!
//! The live rows are first brought up to the log's end, so that a difference is a fault and not a lag. Rows are built in a second
//! database file and taken over in one transaction; the search index is built in a second directory, which is then renamed. A crash
//! at any point leaves the old rows, the new rows, or (for search) no index, which the next start fills from the log.

pub(crate) mod fill;
pub mod renewal;
mod report;

use std::path::Path;
use std::sync::Arc;

use domain::ports::clock::SystemClock;
use domain::ports::feed::FeedEvent;
use domain::ports::log::{LogError, LogReader};
use domain::ports::walk::Walk;
use domain::position::Position;
use projections::engine::applier::{Applier, ApplyError, Limits};
use projections::engine::index::SearchIndex;
use projections::engine::model::Projection;
use projections::engine::store::{RowStore, StoreError};

pub use self::report::{Difference, Phase, RebuildProgress, RebuildReport, RowDifference};
use crate::application::Projections;
use crate::feed::find_heads;
use crate::sqlite::read_store::{OpenReadStoreError, SqliteReadStore, TableDifference, remove};
use crate::tantivy::{FRESH, OLD, TantivySearch, remove_dir, searched};

const FRESH_FILE: &str = "read.rebuild.db";

/// Why a rebuild didn't finish. The live projections are as they were unless said otherwise.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// There is no such projection.
    #[error("there is no projection {0}; there are {1}")]
    UnknownProjection(String, String),
    /// A database file can't be opened.
    #[error(transparent)]
    Open(#[from] OpenReadStoreError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A projection fails on too many streams: it is at fault itself.
    #[error("the projection {0} {1}")]
    Stopped(&'static str, String),
    /// Another rebuild of the same read models is running.
    #[error("another rebuild is running")]
    Busy,
    /// Transactions that have read what is to be replaced, and don't end.
    #[error(
        "the new rows of {0} can't take the place of the old ones while these are read in an open transaction: {1}"
    )]
    InTheWay(&'static str, String),
    /// There is nothing to go back to.
    #[error("the projection {0} has no previous generation")]
    NoPrevious(String),
    /// A file can't be moved or removed.
    #[error("can't move what was built into place: {0}")]
    Io(#[from] std::io::Error),
}

impl From<ApplyError> for RebuildError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Store(error) => Self::Store(error),
            ApplyError::Log(error) => Self::Log(error),
        }
    }
}

/// Rebuilds the named projections, or all when none is named, from the log. The caller holds the data directory, and no
/// projection runs in it.
///
/// # Errors
/// [`RebuildError`].
pub async fn rebuild(
    data_dir: &Path,
    projections: Projections,
    wanted: &[String],
    log: &dyn LogReader,
    progress: &mut (dyn FnMut(RebuildProgress) + Send),
) -> Result<Vec<RebuildReport>, RebuildError> {
    let mut rows = projections.rows;
    let mut all: Vec<&str> = rows.iter().map(|p| p.name()).collect();
    all.extend(searched(&projections.documents).map(|(index, _)| index.projection));
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(&name.as_str())) {
        return Err(RebuildError::UnknownProjection(unknown.clone(), all.join(", ")));
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    rows.retain(|p| is_wanted(p.name()));
    let heads = find_heads(log).await?;
    let mut work = EmbeddedRebuild { log, heads, progress };
    let fresh_file = data_dir.join(FRESH_FILE);
    remove(&fresh_file)?;
    let live = Arc::new(SqliteReadStore::open(data_dir)?);
    let mut reports = Vec::new();
    {
        let fresh = Arc::new(SqliteReadStore::open_file(fresh_file.clone())?);
        if !rows.is_empty() {
            reports.extend(work.rebuild_rows(&live, &fresh, &rows, &fresh_file).await?);
        }
        for (index, projection) in searched(&projections.documents) {
            if is_wanted(projection.name()) {
                let rebuilt = work.rebuild_search(index, projection, data_dir, &live, &fresh, &fresh_file);
                reports.push(rebuilt.await?);
            }
        }
    }
    remove(&fresh_file)?;
    Ok(reports)
}

struct EmbeddedRebuild<'a> {
    log: &'a dyn LogReader,
    heads: Vec<Position>,
    progress: &'a mut (dyn FnMut(RebuildProgress) + Send),
}

impl EmbeddedRebuild<'_> {
    async fn rebuild_rows(
        &mut self,
        live: &Arc<SqliteReadStore>,
        fresh: &Arc<SqliteReadStore>,
        rows: &[Arc<dyn Projection>],
        fresh_file: &Path,
    ) -> Result<Vec<RebuildReport>, RebuildError> {
        self.run(live.clone(), rows, Phase::CatchUp).await?;
        let built = self.run(fresh.clone(), rows, Phase::Rows).await?;
        let mut reports = Vec::new();
        for (projection, lane) in rows.iter().zip(built.lanes()) {
            // Rows of another version are replaced, not compared.
            let comparable = live.load(projection.name()).await?.foreign.is_none();
            let (tables, before) = match comparable {
                true => (live.compare(projection, fresh_file).await?, live.digest(projection).await?),
                false => (Vec::new(), [0; 32]),
            };
            let after = fresh.digest(projection).await?;
            reports.push(RebuildReport {
                projection: projection.name(),
                events: self.events(),
                parked: lane.parked_events(),
                rows: tables.iter().map(|t| t.rows).sum(),
                differing_rows: tables.iter().map(TableDifference::differing).sum(),
                only_live: tables.iter().map(|t| t.only_live).sum(),
                only_built: tables.iter().map(|t| t.only_built).sum(),
                examples: tables.into_iter().flat_map(|t| t.examples).collect(),
                digest_before: before,
                digest_after: after,
            });
        }
        (self.progress)(RebuildProgress { phase: Phase::Swap, done: 0, total: 0 });
        live.take_over(rows, &[], fresh_file).await?;
        Ok(reports)
    }

    async fn rebuild_search(
        &mut self,
        index: &'static SearchIndex,
        projection: &Arc<dyn Projection>,
        data_dir: &Path,
        live_rows: &Arc<SqliteReadStore>,
        fresh_rows: &Arc<SqliteReadStore>,
        fresh_file: &Path,
    ) -> Result<RebuildReport, RebuildError> {
        let only = std::slice::from_ref(projection);
        let live_dir = data_dir.join(index.projection);
        let (fresh_dir, old_dir) = (live_dir.with_extension(FRESH), live_dir.with_extension(OLD));
        remove_dir(&fresh_dir)?;
        remove_dir(&old_dir)?;
        let live = Arc::new(TantivySearch::in_directory(index, live_dir.clone(), live_rows.clone()));
        let fresh = Arc::new(TantivySearch::in_directory(index, fresh_dir.clone(), fresh_rows.clone()));
        self.run(live.clone(), only, Phase::CatchUp).await?;
        let built = self.run(fresh.clone(), only, Phase::Search).await?;
        let comparable = !live.is_foreign();
        let after = fresh.document_digests().await?;
        let before = if comparable { live.document_digests().await? } else { after.clone() };
        let only_before = before.keys().filter(|key| !after.contains_key(*key)).count();
        let changed = after.iter().filter(|(key, digest)| before.get(*key) != Some(digest)).count();
        let report = RebuildReport {
            projection: projection.name(),
            events: self.events(),
            parked: built.lanes().iter().map(|lane| lane.parked_events()).sum(),
            rows: after.len() as u64,
            differing_rows: (only_before + changed) as u64,
            only_live: only_before as u64,
            only_built: after.keys().filter(|key| !before.contains_key(*key)).count() as u64,
            examples: Vec::new(),
            digest_before: if comparable { live.digest(projection).await? } else { [0; 32] },
            digest_after: fresh.digest(projection).await?,
        };
        (self.progress)(RebuildProgress { phase: Phase::Swap, done: 0, total: 0 });
        if comparable {
            live.close(live_rows.as_ref()).await?;
        }
        fresh.close(live_rows.as_ref()).await?;
        live_rows.take_over(&[], &[projection.name()], fresh_file).await?;
        std::fs::rename(&live_dir, &old_dir)?;
        std::fs::rename(&fresh_dir, &live_dir)?;
        remove_dir(&old_dir)?;
        Ok(report)
    }

    /// Applies the log from where the store stands to its end.
    async fn run(
        &mut self,
        store: Arc<dyn RowStore>,
        projections: &[Arc<dyn Projection>],
        phase: Phase,
    ) -> Result<Applier, RebuildError> {
        let (log, clock) = (self.log.store(), Arc::new(SystemClock));
        let mut applier = Applier::open(store.clone(), projections, log, clock, Limits::default()).await?;
        applier.reconcile(self.log).await?;
        let total = self.events();
        let start = applier.low();
        let mut done = start.positions().map(|p| p.n).sum();
        (self.progress)(RebuildProgress { phase, done, total });
        for position in start.positions() {
            let next = Position { shard: position.shard, n: position.n + 1 };
            let mut walk = Walk::from_position(self.log, next).await?;
            loop {
                let page = walk.page().await?;
                if page.is_empty() {
                    break;
                }
                let events: Vec<FeedEvent> = page.iter().flat_map(FeedEvent::all_of).collect();
                applier.apply(&events, self.log).await?;
                done += events.iter().filter(|e| e.position.n > position.n).count() as u64;
                (self.progress)(RebuildProgress { phase, done, total });
                if let Some((name, stopped)) =
                    applier.lanes().iter().find_map(|l| Some((l.projection().name(), l.stopped()?)))
                {
                    return Err(RebuildError::Stopped(name, stopped.reason.clone()));
                }
            }
        }
        store.publish().await?;
        Ok(applier)
    }

    fn events(&self) -> u64 {
        self.heads.iter().map(|head| head.n).sum()
    }
}
