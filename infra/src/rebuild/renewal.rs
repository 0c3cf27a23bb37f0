//! A new version of a projection: filled beside the live rows while the process runs, and swapped in when it has caught up.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::pauses::Pauses;
use domain::ports::log::LogReader;
use domain::position::Seen;
use projections::engine::model::Projection;
use projections::engine::store::{RowStore, StoreError};
use tokio_util::sync::CancellationToken;

use super::fill::Fill;
use super::{FRESH_FILE, Phase, RebuildError};
use crate::feed::find_heads;
use crate::sqlite::read_store::{SqliteReadStore, remove};
use crate::tantivy::TantivySearch;

/// Between two attempts.
const PAUSES: Pauses = Pauses::new(Duration::from_secs(1), Duration::from_secs(30));
/// What was filled takes its place when so few events are missing, or after so many rounds: the rest comes by the feed.
const CLOSE: u64 = 2_000;
const ROUNDS: usize = 10;

/// Brings this program's versions of the projections to life where the live rows are of older ones.
#[async_trait]
pub trait Renewal: Send + Sync + 'static {
    /// Fills what is outdated beside the live rows and swaps it in; nothing to do for what isn't.
    ///
    /// # Errors
    /// [`RebuildError`]: the live rows are as they were, but for those already swapped. Repeat later.
    async fn renew(&self) -> Result<(), RebuildError>;
}

/// Renews what is outdated, and tries again until that is done or the process stops.
pub(crate) async fn keep_trying(renewal: Arc<dyn Renewal>, stop: CancellationToken) {
    let mut pauses = PAUSES;
    loop {
        let renewed = tokio::select! {
            () = stop.cancelled() => return,
            renewed = renewal.renew() => renewed,
        };
        match renewed {
            Ok(()) => return,
            // Then there is nothing left to do here.
            Err(RebuildError::Busy) => {
                tracing::debug!("another process fills what is outdated");
                pauses.reset();
            }
            Err(error) => tracing::warn!(%error, "what is outdated can't be replaced yet; trying again"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pauses.further()) => {}
        }
    }
}

/// The read side of the one process that may use a directory.
pub(crate) struct EmbeddedRenewal {
    pub(crate) projections: Vec<Arc<dyn Projection>>,
    pub(crate) dir: PathBuf,
    pub(crate) rows: Arc<SqliteReadStore>,
    pub(crate) search: Vec<(Arc<dyn Projection>, Arc<TantivySearch>)>,
    pub(crate) log: Arc<dyn LogReader>,
}

#[async_trait]
impl Renewal for EmbeddedRenewal {
    async fn renew(&self) -> Result<(), RebuildError> {
        // One that can't be renewed now holds up none of the others.
        let mut renewed = renew_rows(&self.dir, &self.rows, &self.projections, &self.log).await;
        for (projection, index) in &self.search {
            let one = renew_search(&self.dir, index, &self.rows, Arc::clone(projection), &self.log).await;
            renewed = renewed.and(one);
        }
        renewed
    }
}

/// Fills the rows of another version of projections in a file beside the live ones, and takes them over.
///
/// # Errors
/// [`RebuildError`]: the live rows are as they were.
pub async fn renew_rows(
    dir: &Path,
    live: &SqliteReadStore,
    projections: &[Arc<dyn Projection>],
    log: &Arc<dyn LogReader>,
) -> Result<(), RebuildError> {
    let mut outdated = Vec::new();
    for projection in projections {
        if let Some(reason) = live.load(projection.name()).await?.foreign {
            tracing::info!(reason, "filling a new version");
            outdated.push(Arc::clone(projection));
        }
    }
    let file = dir.join(FRESH_FILE);
    remove(&file)?;
    if outdated.is_empty() {
        return Ok(());
    }
    fill(Arc::new(SqliteReadStore::open_file(file.clone())?), live, &outdated, log, Phase::Rows).await?;
    live.take_over(&outdated, &[], &file).await?;
    tracing::info!(projections = outdated.len(), "swapped in what was filled");
    Ok(remove(&file)?)
}

/// The same for a search index and its dead letters, which are kept in `rows`.
///
/// # Errors
/// [`RebuildError`]: the live index is as it was.
pub async fn renew_search(
    dir: &Path,
    live: &TantivySearch,
    rows: &SqliteReadStore,
    projection: Arc<dyn Projection>,
    log: &Arc<dyn LogReader>,
) -> Result<(), RebuildError> {
    let file = dir.join(FRESH_FILE);
    remove(&file)?;
    if !live.is_foreign() {
        return Ok(());
    }
    tracing::info!("filling a new version of the search index");
    // Its dead letters are kept in a file of their own meanwhile.
    let letters = Arc::new(SqliteReadStore::open_file(file.clone())?);
    let fresh = Arc::new(live.beside(letters)?);
    fill(fresh.clone(), live, std::slice::from_ref(&projection), log, Phase::Search).await?;
    fresh.close(rows).await?;
    rows.take_over(&[], &[projection.name()], &file).await?;
    live.take_over().await?;
    tracing::info!("swapped in the search index that was filled");
    drop(fresh);
    Ok(remove(&file)?)
}

/// Fills a store until it is close to the log's end, and holds all that is live.
async fn fill(
    store: Arc<dyn RowStore>,
    live: &dyn RowStore,
    projections: &[Arc<dyn Projection>],
    log: &Arc<dyn LogReader>,
    phase: Phase,
) -> Result<(), RebuildError> {
    for _ in 0..ROUNDS {
        let heads = Seen::up_to(&find_heads(log.as_ref()).await?);
        Fill::new(Arc::clone(&store), projections, log).run(&heads, phase, &mut |_| {}).await?;
        store.publish().await?;
        let now = Seen::up_to(&find_heads(log.as_ref()).await?);
        let (mut missing, mut behind) = (0, false);
        for projection in projections {
            let (has, shown) =
                (store.load(projection.name()).await?.seen, live.load(projection.name()).await?.seen);
            missing += now.positions().map(|p| p.n.saturating_sub(has.last(p.shard))).sum::<u64>();
            // Of what the log holds: it may have been put back, and then they show more.
            behind |= shown.positions().any(|p| has.last(p.shard) < p.n.min(now.last(p.shard)));
        }
        if missing <= CLOSE && !behind {
            return Ok(());
        }
    }
    Err(StoreError::Unavailable("the log grows faster than a new version can be filled".to_owned()).into())
}
