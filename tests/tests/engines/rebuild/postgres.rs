//! Rebuild and rollback in PostgreSQL while a runner and readers go on.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::merkle::Hash;
use domain::ports::clock::SystemClock;
use domain::ports::feed::FanOut;
use domain::ports::log::{EventLog, LogReader as _};
use domain::position::SyncToken;
use infra::feed::InProcessFeed;
use infra::postgres::rebuild::{rebuild, rollback};
use infra::postgres::{Database, PostgresReadStore};
use infra::rebuild::{Difference, RebuildError, RebuildProgress, RebuildReport};
use infra::shop::projections as shop_projections;
use infra::sqlite::log::SqliteLog;
use infra::sqlite::read_store::SqliteReadStore;
use projections::engine::model::Projection;
use projections::engine::runner::{Runner, RunnerConfig, RunnerParts};
use projections::engine::status::State;
use projections::engine::store::RowStore;
use tempfile::TempDir;
use tests::contract::history::{History, Story};
use tests::contract::read_store::poison::Poisoned;
use tests::contract::read_store::{SHARDS, applier, digests};
use tests::postgres::PostgresSchema;
use tokio_util::sync::CancellationToken;

const STORIES: [Story; 4] = [Story::Delivered, Story::Paid, Story::Declined, Story::OutOfStock];
const WAIT: Duration = tests::shop::SETTLES_WITHIN;

/// A log, and read models in PostgreSQL that a runner keeps in step with it.
struct World {
    log: Arc<SqliteLog>,
    history: History,
    feed: Arc<InProcessFeed>,
    published: usize,
    database: Database,
    store: PostgresReadStore,
    runner: Runner,
    shutdown: CancellationToken,
    schema: PostgresSchema,
    _dir: TempDir,
}

impl World {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(SqliteLog::open(dir.path(), SHARDS).unwrap());
        let history = History::new(log.clone() as Arc<dyn EventLog>);
        let feed = Arc::new(InProcessFeed::open(log.clone()).await.unwrap());
        let schema = PostgresSchema::fresh();
        let database = Database::connect(&schema.url()).await.unwrap();
        let store = PostgresReadStore::new(database.clone());
        let shutdown = CancellationToken::new();
        let parts = RunnerParts {
            group: "rows",
            store: Arc::new(store.clone()),
            projections: shop_projections().rows,
            feed: feed.clone(),
            log: log.clone(),
            clock: Arc::new(SystemClock),
            config: RunnerConfig { max_backoff: Duration::from_millis(100), ..RunnerConfig::default() },
            shutdown: shutdown.clone(),
        };
        let runner = Runner::start(parts).await.unwrap();
        Self { log, history, feed, published: 0, database, store, runner, shutdown, schema, _dir: dir }
    }

    /// More orders, handed to the feed as they are decided.
    async fn trade(&mut self, stories: &[Story]) {
        self.history.shop(stories).await;
        for frame in &self.history.frames[self.published..] {
            self.feed.publish(Arc::clone(frame));
        }
        self.published = self.history.frames.len();
    }

    async fn caught_up(&self) {
        let mut token = SyncToken::default();
        self.history.heads().into_iter().filter(|head| head.n > 0).for_each(|head| token.add(head));
        for mark in self.runner.watermarks() {
            mark.wait_for(&token, WAIT).await.unwrap();
        }
    }

    /// What the log says, by another database.
    async fn expected(&self) -> BTreeMap<&'static str, Hash> {
        let dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn RowStore> = Arc::new(SqliteReadStore::open(dir.path()).unwrap());
        let mut applier = applier(&store, &shop_projections().rows, self.log.store()).await;
        applier.apply(&self.history.events, self.log.as_ref()).await.unwrap();
        digests(&store, &shop_projections().rows).await
    }

    async fn found(&self) -> BTreeMap<&'static str, Hash> {
        let store: Arc<dyn RowStore> = Arc::new(self.store.clone());
        digests(&store, &shop_projections().rows).await
    }

    async fn rebuild(&self, names: &[&str]) -> Result<Vec<RebuildReport>, RebuildError> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        rebuild(&self.database, shop_projections().rows, &names, self.log.clone(), &mut |_| {}).await
    }

    async fn execute(&self, sql: &str) -> u64 {
        sqlx::query(sql).execute(self.database.writes()).await.unwrap().rows_affected()
    }

    async fn schemas_of(&self, projection: &str) -> Vec<String> {
        sqlx::query_scalar("SELECT nspname::text FROM pg_namespace WHERE nspname LIKE $1 ORDER BY nspname")
            .bind(format!("{}\\_{projection}\\_%", self.schema.name()))
            .fetch_all(self.database.reads())
            .await
            .unwrap()
    }

    async fn stop(self) {
        assert!(self.runner.status().iter().all(|status| status.state == State::Running));
        self.shutdown.cancel();
        self.runner.stopped().await;
        self.database.close().await;
    }
}

/// The runner goes on, no reader ever sees fewer orders than before, and the rows end as the log says.
// proves: EVT-3, QRY-2, P5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_under_load_ends_equal_and_no_reader_sees_it() {
    let mut world = World::start().await;
    world.trade(&[STORIES, STORIES].concat()).await;
    world.caught_up().await;
    let reading = Arc::new(AtomicBool::new(true));
    let reads = Arc::new(AtomicU64::new(0));
    let reader = {
        let (pool, reading, reads) = (world.database.reads().clone(), reading.clone(), reads.clone());
        tokio::spawn(async move {
            let mut most = 0;
            while reading.load(Ordering::Relaxed) {
                let sql = "SELECT count(*), (SELECT count(*) FROM order_lines) FROM orders";
                let (orders, lines): (i64, i64) = sqlx::query_as(sql).fetch_one(&pool).await.unwrap();
                assert!(orders >= most && lines >= orders, "{orders} orders after {most}, {lines} lines");
                most = orders;
                reads.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    for _ in 0..3 {
        let (database, log) = (world.database.clone(), world.log.clone());
        let rebuilding =
            tokio::spawn(
                async move { rebuild(&database, shop_projections().rows, &[], log, &mut |_| {}).await },
            );
        while !rebuilding.is_finished() {
            world.trade(&STORIES).await;
        }
        let reports = rebuilding.await.unwrap().unwrap();
        assert_eq!(reports.len(), shop_projections().rows.len());
        for report in &reports {
            assert!(report.equal() && report.differing_rows == 0 && report.parked == 0, "{report:?}");
        }
        world.caught_up().await;
    }
    reading.store(false, Ordering::Relaxed);
    reader.await.unwrap();
    assert!(reads.load(Ordering::Relaxed) > 10);
    assert_eq!(world.found().await, world.expected().await);
    // The live one and the one before.
    assert_eq!(world.schemas_of("orders").await.len(), 2);
    world.stop().await;
}

/// A swap that waits for a query has none of the views yet that the query may want next; else each would be in the other's way, again at
/// each attempt.
// proves: EVT-3, QRY-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_that_waits_for_orders_does_not_hold_their_lines() {
    let mut world = World::start().await;
    world.trade(&STORIES).await;
    world.caught_up().await;
    let mut reader = world.database.reads().begin().await.unwrap();
    let orders: i64 =
        sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(&mut *reader).await.unwrap();
    let (database, log) = (world.database.clone(), world.log.clone());
    let rebuilding = tokio::spawn(async move {
        rebuild(&database, shop_projections().rows, &["orders".to_owned()], log, &mut |_| {}).await
    });
    let locks = "SELECT c.relname::text, l.granted FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation \
        WHERE l.mode = 'AccessExclusiveLock' AND c.relkind = 'v' AND c.relnamespace = $1::regnamespace";
    let start = Instant::now();
    loop {
        let all: Vec<(String, bool)> =
            sqlx::query_as(locks).bind(world.schema.name()).fetch_all(world.database.writes()).await.unwrap();
        assert!(all.iter().all(|(_, granted)| !granted), "{all:?}");
        if all == [("orders".to_owned(), false)] {
            break;
        }
        assert!(start.elapsed() < WAIT, "it never waits");
    }
    let lines = "SELECT count(*) FROM order_lines";
    let lines: i64 = sqlx::query_scalar(lines).fetch_one(&mut *reader).await.unwrap();
    assert!(lines >= orders && orders > 0);
    reader.commit().await.unwrap();
    assert!(rebuilding.await.unwrap().unwrap()[0].equal());
    world.stop().await;
}

/// What differs is told row by row, mended by the swap, and there again after a rollback, which undoes only that.
// proves: EVT-3, P5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tampered_row_is_reported_mended_and_rolled_back() {
    let mut world = World::start().await;
    world.trade(&STORIES).await;
    world.caught_up().await;
    let name = world.schema.name().to_owned();
    let captured = "WHERE status = 'captured'";
    let changed =
        world.execute(&format!("UPDATE {name}_payments_1.payments SET captured_amount = 1 {captured}")).await;
    let deleted = world.execute(&format!("DELETE FROM {name}_orders_1.order_lines WHERE line = 2")).await;
    let added =
        format!("INSERT INTO {name}_users_1.users (tenant, user_id) VALUES ('default', gen_random_uuid())");
    world.execute(&added).await;
    let tampered = world.found().await;
    let reports = world.rebuild(&["payments", "orders", "users", "products"]).await.unwrap();
    let of = |name: &str| reports.iter().find(|report| report.projection == name).unwrap();
    assert_eq!((of("payments").differing_rows, changed), (1, 1));
    assert_eq!(of("payments").examples[0].table, "payments");
    let column = vec!["captured_amount".to_owned()];
    assert_eq!(of("payments").examples[0].difference, Difference::Changed { columns: column });
    assert_eq!((of("orders").differing_rows, of("orders").only_built), (deleted, deleted));
    assert_eq!(of("orders").examples[0].difference, Difference::OnlyBuilt);
    assert!(
        of("orders").examples[0].key.starts_with("default/") && of("orders").examples[0].key.ends_with("/2")
    );
    assert_eq!((of("users").differing_rows, of("users").only_live), (1, 1));
    assert_eq!(of("users").examples[0].difference, Difference::OnlyLive);
    assert!(!of("orders").equal() && of("products").equal() && of("products").examples.is_empty());
    assert_eq!(of("orders").digest_before, tampered["orders"]);
    let expected = world.expected().await;
    assert_eq!(world.found().await, expected);
    assert_eq!(of("orders").digest_after, expected["orders"]);

    // The old rows again; what happened since is in them before anybody sees them.
    rollback(&world.database, &shop_projections().rows, "users", world.log.clone()).await.unwrap();
    assert_eq!(world.found().await["users"], tampered["users"]);
    world.trade(&STORIES).await;
    world.caught_up().await;
    rollback(&world.database, &shop_projections().rows, "users", world.log.clone()).await.unwrap();
    assert_eq!(world.found().await, world.expected().await);
    world.trade(&STORIES).await;
    world.caught_up().await;
    assert_eq!(world.found().await, world.expected().await);
    let unknown = rollback(&world.database, &shop_projections().rows, "inventory", world.log.clone()).await;
    assert!(matches!(unknown, Err(RebuildError::NoPrevious(_))), "{unknown:?}");
    world.stop().await;
}

/// A rebuild that dies leaves nothing that anybody sees, and the next one cleans up.
// proves: EVT-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_that_dies_is_forgotten() {
    let mut world = World::start().await;
    world.trade(&[STORIES, STORIES].concat()).await;
    world.caught_up().await;
    for millis in [5, 20, 40, 80, 160] {
        // Dropped in the middle, wherever that is.
        let _ = tokio::time::timeout(Duration::from_millis(millis), world.rebuild(&[])).await;
        world.trade(&STORIES[..1]).await;
    }
    let start = Instant::now();
    let reports = loop {
        match world.rebuild(&[]).await {
            // The server hasn't noticed yet that the one before is gone.
            Err(RebuildError::Busy) if start.elapsed() < WAIT => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            done => break done.unwrap(),
        }
    };
    assert!(reports.iter().all(RebuildReport::equal));
    assert_eq!(world.schemas_of("orders").await.len(), 2);
    world.caught_up().await;
    assert_eq!(world.found().await, world.expected().await);
    world.stop().await;
}

/// A new version is built while the old one serves; then the old program can't write any more, and the new one starts with all rows.
// proves: QRY-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_is_built_before_anybody_runs_it() {
    let mut world = World::start().await;
    world.trade(&STORIES).await;
    world.caught_up().await;
    let newer: Vec<Arc<dyn Projection>> = shop_projections()
        .rows
        .into_iter()
        .map(|p| Poisoned::of_version(p.clone(), p.version() + 1) as _)
        .collect();
    let wanted = ["orders".to_owned()];
    let reports = rebuild(&world.database, newer.clone(), &wanted, world.log.clone(), &mut |_| {}).await;
    let reports = reports.unwrap();
    assert_eq!(reports[0].digest_after, world.expected().await["orders"]);
    // Nothing to compare with.
    assert_eq!((reports[0].differing_rows, reports[0].digest_before), (0, [0; 32]));
    let foreign = world.store.load("orders").await.unwrap().foreign;
    let version = format!("version {}", newer[2].version());
    assert!(foreign.as_ref().is_some_and(|why| why.contains(&version)), "{foreign:?}");
    let new: Arc<dyn RowStore> = Arc::new(PostgresReadStore::new(world.database.clone()));
    new.prepare(&newer[2..3], world.log.store()).await.unwrap();
    let seen = new.load("orders").await.unwrap().seen;
    assert_eq!(seen.positions().map(|p| p.n).sum::<u64>(), world.history.events.len() as u64);
    world.shutdown.cancel();
    world.runner.stopped().await;
}

/// Connections that break in mid-batch lose and double nothing.
// proves: P6, P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connections_lose_nothing() {
    let mut world = World::start().await;
    let breaking = Arc::new(AtomicBool::new(true));
    let breaker = {
        let (breaking, name) = (breaking.clone(), world.database.application_name());
        let admin = Database::connect(&tests::engines::engines().postgres.parse().unwrap()).await.unwrap();
        tokio::spawn(async move {
            let mut broken = 0;
            let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1 AND state <> 'idle'";
            while breaking.load(Ordering::Relaxed) {
                broken +=
                    sqlx::query_scalar::<_, i64>(sql).bind(&name).fetch_one(admin.reads()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(7)).await;
            }
            broken
        })
    };
    for _ in 0..12 {
        world.trade(&STORIES).await;
    }
    breaking.store(false, Ordering::Relaxed);
    assert!(breaker.await.unwrap() > 0);
    world.caught_up().await;
    assert_eq!(world.found().await, world.expected().await);
    assert!(world.rebuild(&[]).await.unwrap().iter().all(RebuildReport::equal));
    world.stop().await;
}

/// Prints how fast a rebuild is. `EVENTS=n` says of how many events.
#[ignore = "a measurement"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_fast_a_rebuild_is() {
    let wanted = std::env::var("EVENTS").map_or(50_000, |n| n.parse().unwrap());
    // In memory where there is such a place: the log is not what is measured.
    let dir = TempDir::new_in("/dev/shm").unwrap_or_else(|_| TempDir::new().unwrap());
    let log = Arc::new(SqliteLog::open(dir.path(), 16).unwrap());
    let mut history = History::new(log.clone() as Arc<dyn EventLog>);
    while history.events.len() < wanted {
        history.shop(&STORIES.repeat(20)).await;
    }
    let events = history.events.len() as f64;
    let schema = PostgresSchema::fresh();
    let database = Database::connect(&schema.url()).await.unwrap();
    for round in ["into nothing", "beside the live ones"] {
        let start = Instant::now();
        let mut last = None;
        let mut phases = Vec::new();
        let mut progress = |now: RebuildProgress| {
            if last != Some(now.phase) {
                last = Some(now.phase);
                phases.push((now.phase.title(), start.elapsed()));
            }
        };
        rebuild(&database, shop_projections().rows, &[], log.clone(), &mut progress).await.unwrap();
        let took = start.elapsed();
        println!(
            "{events} events {round}: {:.0} events/s, {took:.1?}; {phases:.1?}",
            events / took.as_secs_f64()
        );
    }
    database.close().await;
}
