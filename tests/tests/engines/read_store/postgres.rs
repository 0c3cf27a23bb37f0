//! PostgreSQL passes the contract of the read store.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::ports::log::EventLog;
use infra::postgres::rebuild::renew;
use infra::postgres::{Database, PostgresReadStore};
use infra::sqlite::read_store::SqliteReadStore;
use projections::engine::model::Projection;
use projections::engine::store::RowStore;
use sqlx::Executor as _;
use tests::contract::read_store::{LOG, ReadStoreFactory, applier, digests, fixture};
use tests::postgres::PostgresSchema;

/// Each store has a schema of its own, dropped with the factory.
pub(crate) struct Postgres {
    schemas: Mutex<Vec<PostgresSchema>>,
}

impl Postgres {
    pub(crate) fn new() -> Self {
        Self { schemas: Mutex::default() }
    }

    async fn open(&self) -> Arc<dyn RowStore> {
        let url = self.schemas.lock().unwrap().last().unwrap().url();
        Arc::new(PostgresReadStore::new(Database::connect(&url).await.unwrap()))
    }
}

#[async_trait]
impl ReadStoreFactory for Postgres {
    fn projections(&self) -> Vec<Arc<dyn Projection>> {
        let mut projections = infra::shop::projections().rows;
        projections.sort_by_key(|p| p.name() != "orders");
        projections
    }

    fn kind(&self) -> &'static str {
        "order"
    }

    async fn fresh(&self) -> Arc<dyn RowStore> {
        self.schemas.lock().unwrap().push(PostgresSchema::fresh());
        self.open().await
    }

    async fn renew(&self, projections: &[Arc<dyn Projection>], log: Arc<dyn EventLog>) {
        let url = self.schemas.lock().unwrap().last().unwrap().url();
        let database = Database::connect(&url).await.unwrap();
        renew(&database, projections, log).await.unwrap();
        database.close().await;
    }

    async fn reopen(&self, store: Arc<dyn RowStore>) -> Arc<dyn RowStore> {
        drop(store);
        self.open().await
    }
}

tests::read_store_contract!(Postgres::new());

/// The rows are the same, whichever database holds them.
// proves: EVT-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_digests_are_those_of_sqlite() {
    let fixture = fixture().await;
    let dir = tempfile::tempdir().unwrap();
    let sqlite: Arc<dyn RowStore> = Arc::new(SqliteReadStore::open(dir.path()).unwrap());
    let factory = Postgres::new();
    let postgres = factory.fresh().await;
    let mut found = Vec::new();
    for store in [sqlite, postgres] {
        let projections = factory.projections();
        let mut applier = applier(&store, &projections, fixture.log.store()).await;
        applier.apply(&fixture.history.events, fixture.log.as_ref()).await.unwrap();
        found.push(digests(&store, &projections).await);
    }
    assert_eq!(found[0], found[1]);
}

/// A schema of a program that kept no frames.
// proves: EVT-7, P6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_an_older_program_are_adopted() {
    let fixture = fixture().await;
    let schema = PostgresSchema::fresh();
    let database = Database::connect(&schema.url()).await.unwrap();
    let store: Arc<dyn RowStore> = Arc::new(PostgresReadStore::new(database.clone()));
    let projections = infra::shop::projections().rows;
    let mut before = applier(&store, &projections, fixture.log.store()).await;
    before.apply(&fixture.history.events, fixture.log.as_ref()).await.unwrap();
    for change in [
        "ALTER TABLE store DROP COLUMN log",
        "ALTER TABLE checkpoints DROP COLUMN marked, DROP COLUMN frame, DROP COLUMN hash",
    ] {
        sqlx::query(change).execute(database.writes()).await.unwrap();
    }
    let store: Arc<dyn RowStore> =
        Arc::new(PostgresReadStore::new(Database::connect(&schema.url()).await.unwrap()));
    let mut adopted = applier(&store, &projections, fixture.log.store()).await;
    adopted.reconcile(fixture.log.as_ref()).await.unwrap();
    assert_eq!(adopted.low(), before.low());
}

/// Several processes may start at the same moment.
// proves: OPS-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_prepare_at_once() {
    let schema = PostgresSchema::fresh();
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let url = schema.url();
        starting.spawn(async move {
            let store = PostgresReadStore::new(Database::connect(&url).await.unwrap());
            store.prepare(&infra::shop::projections().rows, LOG).await.unwrap();
            store.load("orders").await.unwrap()
        });
    }
    while let Some(loaded) = starting.join_next().await {
        assert_eq!(loaded.unwrap().seen.positions().count(), 4);
    }
}

/// The views, not what is behind them; and every column of them is described.
// proves: QRY-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_analyst_reads_the_views_only() {
    let schema = PostgresSchema::fresh();
    let name = schema.name();
    let database = Database::connect(&schema.url()).await.unwrap();
    let store = PostgresReadStore::new(database.clone());
    store.prepare(&infra::shop::projections().rows, LOG).await.unwrap();
    let mut conn = database.reads().acquire().await.unwrap();
    sqlx::query(&format!("SET ROLE {name}_analyst")).execute(&mut *conn).await.unwrap();
    for allowed in ["orders", "events", "stock", "progress"] {
        sqlx::query(&format!("SELECT * FROM {name}.{allowed}")).fetch_all(&mut *conn).await.unwrap();
    }
    for refused in [
        format!("SELECT * FROM {name}_orders_1.orders"),
        format!("SELECT * FROM {name}.dead_letters"),
        format!("SELECT * FROM {name}.checkpoints"),
        format!("DELETE FROM {name}.orders"),
        format!("CREATE TABLE {name}.mine (x integer)"),
    ] {
        let error = sqlx::query(&refused).execute(&mut *conn).await.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("42501"), "{refused}");
    }
    sqlx::query("RESET ROLE").execute(&mut *conn).await.unwrap();
    let undescribed: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname || '.' || a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
         WHERE c.relnamespace = $1::text::regnamespace AND c.relkind IN ('r', 'v')
           AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)",
    )
    .bind(name)
    .fetch_all(&mut *conn)
    .await
    .unwrap();
    assert_eq!(undescribed, Vec::<String>::new());
}

// proves: SEC-10
#[tokio::test]
async fn queries_may_not_take_for_ever_and_writes_may() {
    let schema = PostgresSchema::fresh();
    let database = Database::connect(&schema.url()).await.unwrap();
    let limit = async |pool| -> String {
        sqlx::query_scalar("SHOW statement_timeout").fetch_one(pool).await.unwrap()
    };
    assert_eq!(limit(database.reads()).await, "15s");
    assert_eq!(limit(database.writes()).await, "0");
}

/// What health asks, however many sagas there ever were.
// proves: OPS-3, SEC-10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stuck_sagas_are_found_without_looking_at_every_saga() {
    let schema = PostgresSchema::fresh();
    let database = Database::connect(&schema.url()).await.unwrap();
    let store = PostgresReadStore::new(database.clone());
    store.prepare(&infra::shop::projections().rows, LOG).await.unwrap();
    let mut conn = database.writes().acquire().await.unwrap();
    // Of a table with next to no rows the planner reads all.
    sqlx::query("SET enable_seqscan = off").execute(&mut *conn).await.unwrap();
    let select = include_str!("../../../../infra/src/saga_standing/stuck.sql");
    let select = select.replace("$1", "now()").replace("$2", "20");
    let plan: Vec<String> =
        sqlx::query_scalar(&format!("EXPLAIN {select}")).fetch_all(&mut *conn).await.unwrap();
    let plan = plan.join("\n");
    assert!(plan.contains("sagas_unattended") && !plan.contains("Seq Scan"), "{plan}");
}

/// Another process makes the schema, and no more, while this one waits for its turn.
// proves: OPS-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_waited_while_another_made_the_schema_finds_it() {
    let schema = PostgresSchema::fresh();
    let name = schema.name().to_owned();
    let database = Database::connect(&schema.url()).await.unwrap();
    let mut other = database.reads().acquire().await.unwrap().detach();
    let mut watching = database.reads().acquire().await.unwrap().detach();
    let turn = format!("SELECT pg_advisory_xact_lock(hashtextextended('tillstream schema {name}', 0))");
    other.execute("BEGIN").await.unwrap();
    other.execute(turn.as_str()).await.unwrap();
    let store = PostgresReadStore::new(database.clone());
    let preparing = tokio::spawn(async move { store.prepare(&infra::shop::projections().rows, LOG).await });
    let waiting = format!(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
         AND ((classid::bigint << 32) | objid::bigint) = hashtextextended('tillstream schema {name}', 0)"
    );
    let awaited = async {
        while sqlx::query_scalar::<_, i64>(&waiting).fetch_one(&mut watching).await.unwrap() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(tests::shop::SETTLES_WITHIN, awaited).await.expect("it waits for its turn");
    other.execute(format!("CREATE SCHEMA {name}").as_str()).await.unwrap();
    other.execute("COMMIT").await.unwrap();
    preparing.await.unwrap().unwrap();
    database.close().await;
}
