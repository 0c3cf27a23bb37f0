//! The read models' questions and the sagas' work queue over PostgreSQL, followed as in a process where no projection runs.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use async_trait::async_trait;
use domain::ports::clock::SystemClock;
use domain::ports::feed::Feed;
use domain::ports::log::LogReader;
use domain::position::Shard;
use infra::event_scan::ScanLimits;
use infra::postgres::checkpoints::PostgresCheckpoints;
use infra::postgres::read_models::PostgresReadModels;
use infra::postgres::saga_work::PostgresSagaWork;
use infra::postgres::{Database, PostgresReadStore};
use infra::shop::projections as shop_projections;
use infra::tantivy::TantivySearch;
use projections::audit::events::within;
use projections::catalogue::documents::{INDEX, Search};
use projections::engine::follower::Follower;
use projections::engine::query::Direction;
use projections::engine::runner::{Runner, RunnerConfig, RunnerParts};
use projections::engine::store::RowStore;
use sagas::standing::SagaWork;
use tempfile::TempDir;
use tests::contract::read_models::{ReadModelsFactory, Started, event_filters, list_questions};
use tests::contract::read_store::LOG;
use tests::contract::saga_work::SagaWorkFactory;
use tests::postgres::PostgresSchema;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Read models in a schema, with the embedded search beside.
struct Postgres {
    schema: PostgresSchema,
    dir: TempDir,
    running: Mutex<Vec<Running>>,
}

struct Running {
    runners: Vec<Runner>,
    follower: Arc<Follower>,
    databases: Vec<Database>,
}

impl Postgres {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { schema: PostgresSchema::fresh(), dir, running: Mutex::default() }
    }

    async fn database(&self) -> Database {
        Database::connect(&self.schema.url()).await.unwrap()
    }
}

#[async_trait]
impl ReadModelsFactory for Postgres {
    async fn start(
        &self,
        feed: Arc<dyn Feed>,
        log: Arc<dyn LogReader>,
        scans: ScanLimits,
        shutdown: CancellationToken,
    ) -> Started {
        let (writing, reading) = (self.database().await, self.database().await);
        let store = Arc::new(PostgresReadStore::new(writing.clone()));
        let search = Arc::new(TantivySearch::new(&INDEX, self.dir.path(), store.clone()));
        let parts = |group, store, projections| RunnerParts {
            group,
            store,
            projections,
            feed: Arc::clone(&feed),
            log: Arc::clone(&log),
            clock: Arc::new(SystemClock),
            config: RunnerConfig::default(),
            shutdown: shutdown.clone(),
        };
        let rows = Runner::start(parts("rows", store, shop_projections().rows)).await.unwrap();
        let documents = parts("search", search.clone(), vec![Arc::new(Search)]);
        let documents = Runner::start(documents).await.unwrap();
        let source =
            Arc::new(PostgresCheckpoints::start(reading.clone(), shop_projections().rows, shutdown.clone()));
        let shards = log.store().shards;
        let follower = Arc::new(Follower::start(source, &shop_projections().rows, shards, shutdown));
        let marks = follower.watermarks().chain(documents.watermarks().to_vec());
        let models = PostgresReadModels::new(reading.clone(), marks.collect::<Vec<_>>());
        let running = Running { runners: vec![rows, documents], follower, databases: vec![writing, reading] };
        self.running.lock().await.push(running);
        Started { models: Arc::new(models.with_scans(scans)), search }
    }

    async fn remove(&self) {
        for running in self.running.lock().await.drain(..) {
            for runner in &running.runners {
                runner.stopped().await;
            }
            running.follower.stopped().await;
            for database in &running.databases {
                database.close().await;
            }
        }
    }
}

#[async_trait]
impl SagaWorkFactory for Postgres {
    async fn fresh(&self) -> (Arc<dyn RowStore>, Arc<dyn SagaWork>) {
        let database = self.database().await;
        (Arc::new(PostgresReadStore::new(database.clone())), Arc::new(PostgresSagaWork::new(database)))
    }
}

mod questions {
    use super::*;
    tests::read_models_contract!(Postgres::new());
}

mod saga_work {
    use super::*;
    tests::saga_work_contract!(Postgres::new());
}

/// However rows are asked for, an index leads to them: no table is gone through.
// proves: AUD-1, SEC-10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_serves_every_list() {
    let postgres = Postgres::new();
    let database = postgres.database().await;
    PostgresReadStore::new(database.clone()).prepare(&shop_projections().rows, LOG).await.unwrap();
    let schema = postgres.schema.name();
    // As many as make an index worth its while, rare and frequent ones.
    for (table, columns, values) in [
        (
            "events_1.events",
            "shard, n, event_version, event_id, time, tenant, stream_type, stream_id, event_type, schema_version, correlation_id,
             causation_id, actor, data",
            "n % 4, n / 4 + 1, 1, gen_random_uuid(), now(), 'default', 'order', 'order-' || n, 'order.' || n % 50, 1,
             gen_random_uuid(), gen_random_uuid(), 'user:' || n % 1000, '{}'",
        ),
        (
            "products_1.products",
            "tenant, product_id, product_version, sku, name, sort_name, category_key, price_amount, currency, discontinued, created_at",
            "'default', gen_random_uuid(), 1, 'SKU-' || n, 'N' || n, 'n' || n, 'c' || n % 100, n, 'EUR', n % 10 = 0,
             now() - n * interval '1 s'",
        ),
        (
            "orders_1.orders",
            "tenant, order_id, order_version, customer_id, status, created_at",
            "'default', lpad(to_hex(n), 32, '0')::uuid, 1, lpad(to_hex(n % 1000), 32, '0')::uuid,
             (ARRAY['paid', 'completed', 'rejected'])[n % 3 + 1], now() - n * interval '1 s'",
        ),
        (
            "orders_1.order_lines",
            "tenant, order_id, line, line_version",
            "'default', lpad(to_hex(n), 32, '0')::uuid, 1, 1",
        ),
        (
            "reviews_1.reviews",
            "tenant, review_id, review_version, product_id, customer_id, rating, status, created_at",
            "'default', gen_random_uuid(), 1, lpad(to_hex(n % 500), 32, '0')::uuid, lpad(to_hex(n % 1000), 32, '0')::uuid, n % 5 + 1,
             CASE n % 50 WHEN 0 THEN 'hidden' WHEN 1 THEN 'withdrawn' ELSE 'published' END, now() - n * interval '1 s'",
        ),
    ] {
        let fill = format!(
            "INSERT INTO {schema}_{table} ({columns}) SELECT {values} FROM generate_series(1, 60000) n"
        );
        sqlx::query(&fill).execute(database.writes()).await.unwrap();
        sqlx::query(&format!("ANALYZE {schema}_{table}")).execute(database.writes()).await.unwrap();
    }
    let models = PostgresReadModels::new(database.clone(), []);
    let events = event_filters();
    let events = events.iter().map(|filter| within("default", filter, Shard(0), 1..=20_000, 100));
    for question in events.chain(list_questions()) {
        // No range of an index is what comes behind a place in two directions: then the planner has the choice.
        let turns = question.order.iter().any(|(_, direction)| *direction == Direction::Descending);
        if turns && question.after.is_some() {
            continue;
        }
        let plan = models.plan(&question).await.unwrap().join("\n");
        // Within a category, what is listed by anything but age is sorted when it was found.
        let filtered = format!("{:?}", question.conditions).contains("category_key");
        let sorted = plan.contains("Sort") && !(filtered && question.order[0].0 != "created_at");
        assert!(
            !sorted && plan.contains("Index Scan") && !plan.contains("Seq Scan"),
            "{:?} {:?}: {plan}",
            question.conditions,
            question.order
        );
    }
    database.close().await;
}
