//! The embedded read side on its own: the stores, their runners, and the questions over them.

use std::path::Path;
use std::sync::Arc;

use domain::ports::clock::Clock;
use domain::ports::feed::Feed;
use domain::ports::log::LogReader;
use infra::rebuild::RebuildError;
use infra::rebuild::renewal::{renew_rows, renew_search};
use infra::shop::projections as shop_projections;
use infra::sqlite::read_models::EmbeddedReadModels;
use infra::sqlite::read_store::SqliteReadStore;
use infra::tantivy::TantivySearch;
use projections::catalogue::documents::{INDEX, Search};
use projections::engine::redrive::RedriveReport;
use projections::engine::runner::{RedriveError, Runner, RunnerConfig, RunnerParts};
use projections::engine::status::ProjectionStatus;
use projections::engine::watermark::Watermark;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running read side in a directory.
pub struct ReadSide {
    /// Rows, checkpoints and dead letters.
    pub store: Arc<SqliteReadStore>,
    /// The questions.
    pub models: Arc<EmbeddedReadModels>,
    /// The search in products.
    pub search: Arc<TantivySearch>,
    /// The runners: rows, search.
    pub runners: Vec<Arc<Runner>>,
    /// Replaces what another version made.
    renewal: Mutex<Option<JoinHandle<Result<(), RebuildError>>>>,
}

impl ReadSide {
    /// Opens the stores in a data directory and starts the runners.
    ///
    /// # Errors
    /// When a store can't be opened or prepared.
    pub async fn start(
        data_dir: &Path,
        feed: Arc<dyn Feed>,
        log: Arc<dyn LogReader>,
        clock: Arc<dyn Clock>,
        config: RunnerConfig,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let store = Arc::new(SqliteReadStore::open(data_dir)?);
        let search = Arc::new(TantivySearch::new(&INDEX, data_dir, store.clone()));
        let rows = Runner::start(RunnerParts {
            group: "rows",
            store: store.clone(),
            projections: shop_projections().rows,
            feed: Arc::clone(&feed),
            log: Arc::clone(&log),
            clock: Arc::clone(&clock),
            config,
            shutdown: shutdown.clone(),
        });
        let rows = Arc::new(rows.await?);
        let documents = Runner::start(RunnerParts {
            group: "search",
            store: search.clone(),
            projections: vec![Arc::new(Search)],
            feed,
            log: Arc::clone(&log),
            clock,
            config,
            shutdown,
        });
        let runners = vec![rows, Arc::new(documents.await?)];
        let marks = runners.iter().flat_map(|runner| runner.watermarks().to_vec());
        let models = Arc::new(EmbeddedReadModels::new(Arc::clone(&store), marks));
        let (dir, rows, searched) = (data_dir.to_owned(), Arc::clone(&store), Arc::clone(&search));
        let renewal = tokio::spawn(async move {
            renew_rows(&dir, &rows, &shop_projections().rows, &log).await?;
            renew_search(&dir, &search, &rows, Arc::new(Search), &log).await
        });
        Ok(Self { store, models, search: searched, runners, renewal: Mutex::new(Some(renewal)) })
    }

    /// The watermark of a projection.
    #[must_use]
    pub fn watermark(&self, projection: &str) -> Option<Watermark> {
        self.runners.iter().find_map(|runner| runner.watermark(projection))
    }

    /// The status of every projection.
    #[must_use]
    pub fn status(&self) -> Vec<ProjectionStatus> {
        self.runners.iter().flat_map(|runner| runner.status()).collect()
    }

    /// Applies a projection's parked events.
    ///
    /// # Errors
    /// [`RedriveError`].
    pub async fn redrive(&self, projection: &str) -> Result<RedriveReport, RedriveError> {
        match self.runners.iter().find(|runner| runner.watermark(projection).is_some()) {
            Some(runner) => runner.redrive(projection).await,
            None => Err(RedriveError::UnknownProjection(projection.to_owned())),
        }
    }

    /// Waits until the runners have ended, which they do on shutdown.
    ///
    /// # Panics
    /// When what another version made couldn't be replaced.
    pub async fn stopped(&self) {
        if let Some(renewal) = self.renewal.lock().await.take() {
            renewal.await.expect("no panic").expect("it is replaced");
        }
        for runner in &self.runners {
            runner.stopped().await;
        }
    }
}
