//! SQLite and tantivy pass the contracts of the read models and of the sagas' work queue.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use async_trait::async_trait;
use domain::ports::clock::SystemClock;
use domain::ports::feed::Feed;
use domain::ports::log::LogReader;
use infra::sqlite::read_store::SqliteReadStore;
use infra::sqlite::saga_work::SqliteSagaWork;
use projections::read_models::ReadModels;
use projections::runner::RunnerConfig;
use projections::store::RowStore;
use sagas::work::SagaWork;
use tempfile::TempDir;
use tests::contract::read_models::ReadModelsFactory;
use tests::contract::saga_work::SagaWorkFactory;
use tests::read_side::ReadSide;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

struct Embedded {
    dir: TempDir,
    running: Mutex<Option<ReadSide>>,
}

impl Embedded {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), running: Mutex::default() }
    }
}

#[async_trait]
impl ReadModelsFactory for Embedded {
    async fn start(
        &self,
        feed: Arc<dyn Feed>,
        log: Arc<dyn LogReader>,
        shutdown: CancellationToken,
    ) -> Arc<dyn ReadModels> {
        let config = RunnerConfig::default();
        let clock = Arc::new(SystemClock);
        let side = ReadSide::start(self.dir.path(), feed, log, clock, config, shutdown).await.unwrap();
        let models = side.models.clone();
        *self.running.lock().await = Some(side);
        models
    }

    async fn remove(&self) {
        if let Some(side) = self.running.lock().await.take() {
            side.stopped().await;
        }
    }
}

#[async_trait]
impl SagaWorkFactory for Embedded {
    async fn fresh(&self) -> (Arc<dyn RowStore>, Arc<dyn SagaWork>) {
        let store = Arc::new(SqliteReadStore::open(self.dir.path()).unwrap());
        let work = SqliteSagaWork::new(Arc::clone(&store));
        (store, Arc::new(work))
    }
}

mod read_models {
    use super::*;
    tests::read_models_contract!(Embedded::new());
}

mod saga_work {
    use super::*;
    tests::saga_work_contract!(Embedded::new());
}
