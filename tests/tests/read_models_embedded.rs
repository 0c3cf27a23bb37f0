//! SQLite and tantivy pass the contracts of the read models and of the sagas' work queue.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use async_trait::async_trait;
use domain::ports::clock::SystemClock;
use domain::ports::feed::Feed;
use domain::ports::log::LogReader;
use infra::sqlite::read_store::SqliteReadStore;
use infra::sqlite::saga_work::SqliteSagaWork;
use projections::engine::runner::RunnerConfig;
use projections::engine::store::RowStore;
use sagas::standing::SagaWork;
use tempfile::TempDir;
use tests::contract::read_models::{ReadModelsFactory, Started};
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
        scans: infra::event_scan::ScanLimits,
        shutdown: CancellationToken,
    ) -> Started {
        let config = RunnerConfig::default();
        let clock = Arc::new(SystemClock);
        let side = ReadSide::start(self.dir.path(), feed, log, clock, config, shutdown).await.unwrap();
        let models = side.models.as_ref().clone().with_scans(scans);
        let search = side.search.clone();
        *self.running.lock().await = Some(side);
        Started { models: Arc::new(models), search }
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

/// How lists of events are read.
mod plans {
    use domain::position::Shard;
    use infra::event_scan::ScanLimits;
    use infra::feed::InProcessFeed;
    use infra::sqlite::log::SqliteLog;
    use projections::audit::events::within;
    use projections::engine::events::EventFilter;
    use tests::contract::read_models::{event_filters, list_questions};

    use super::*;

    /// However rows are asked for, an index leads to them: no table is gone through.
    // proves: AUD-1, SEC-10
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_index_serves_every_list() {
        let (log_dir, shutdown) = (tempfile::tempdir().unwrap(), CancellationToken::new());
        let log = Arc::new(SqliteLog::open(log_dir.path(), 4).unwrap());
        let feed = Arc::new(InProcessFeed::open(log.clone()).await.unwrap());
        let embedded = Embedded::new();
        ReadModelsFactory::start(&embedded, feed, log, ScanLimits::default(), shutdown.clone()).await;
        let models = embedded.running.lock().await.as_ref().unwrap().models.clone();
        for filter in event_filters() {
            let plan = models.plan(&within("default", &filter, Shard(0), 1..=20_000, 100)).await.unwrap();
            assert_eq!(plan.len(), 1, "{filter:?}: {plan:?}");
            let asked = filter != EventFilter::default();
            let index = if asked {
                "SEARCH t USING INDEX events_by_"
            } else {
                // The index of the table's own key.
                "SEARCH t USING INDEX sqlite_autoindex_events_"
            };
            assert!(plan[0].starts_with(index) && plan[0].contains("n>? AND n<?"), "{filter:?}: {plan:?}");
        }
        for question in list_questions() {
            let plan = models.plan(&question).await.unwrap();
            assert!(plan.iter().all(|step| !step.contains("SCAN")), "{question:?}: {plan:?}");
            // Within a category, what is listed by anything but age is sorted when it was found.
            let sorted = plan.iter().any(|step| step.contains("TEMP B-TREE"));
            let by = question.order[0].0;
            let filtered = format!("{:?}", question.conditions).contains("category_key");
            assert!(!sorted || (filtered && by != "created_at"), "{question:?}: {plan:?}");
        }
        shutdown.cancel();
        ReadModelsFactory::remove(&embedded).await;
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
