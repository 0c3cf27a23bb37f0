//! A read model in PostgreSQL that starts again: in another version, filled beside the live one, or put back to an older state. Appliers
//! of both versions, and a process that only follows, are there at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::ports::clock::SystemClock;
use domain::ports::feed::FanOut;
use domain::ports::log::{EventLog, LogReader};
use domain::position::SyncToken;
use infra::feed::InProcessFeed;
use infra::postgres::checkpoints::PostgresCheckpoints;
use infra::postgres::read_models::PostgresReadModels;
use infra::postgres::rebuild::{renew, rollback};
use infra::postgres::{Database, PostgresReadStore};
use infra::rebuild::RebuildError;
use infra::shop::projections as shop_projections;
use infra::sqlite::log::SqliteLog;
use projections::catalogue::products::{self, ReadProducts as _};
use projections::engine::follower::Follower;
use projections::engine::model::Projection;
use projections::engine::read_models::{ReadError, ReadModels};
use projections::engine::runner::{Runner, RunnerConfig, RunnerParts};
use projections::engine::status::State;
use projections::engine::store::RowStore as _;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use tests::contract::history::{History, Story, details};
use tests::contract::read_store::poison::Poisoned;
use tests::engines::engines;
use tests::postgres::PostgresSchema;
use tests::server::eventually;
use tokio_util::sync::CancellationToken;

const SHARDS: u16 = 4;
const WAIT: Duration = Duration::from_secs(60);

/// The next version of every projection.
fn newer() -> Vec<Arc<dyn Projection>> {
    let next =
        |p: Arc<dyn Projection>| Poisoned::of_version(p.clone(), p.version() + 1) as Arc<dyn Projection>;
    shop_projections().rows.into_iter().map(next).collect()
}

/// A log, a process that runs projections, and one that follows and reads.
struct World {
    log: Arc<SqliteLog>,
    history: History,
    feed: Arc<InProcessFeed>,
    published: usize,
    runner: Runner,
    follower: Follower,
    models: Arc<PostgresReadModels>,
    database: Database,
    schema: PostgresSchema,
    shutdown: CancellationToken,
    _dir: TempDir,
}

impl World {
    async fn start() -> Self {
        let (schema, dir) = (PostgresSchema::fresh(), tempfile::tempdir().unwrap());
        let log = Arc::new(SqliteLog::open(dir.path(), SHARDS).unwrap());
        let history = History::new(log.clone() as Arc<dyn EventLog>);
        let feed = Arc::new(InProcessFeed::open(log.clone()).await.unwrap());
        let (database, shutdown) =
            (Database::connect(&schema.url()).await.unwrap(), CancellationToken::new());
        let runner = run(&schema, shop_projections().rows, &feed, &log, &shutdown).await;
        let source = PostgresCheckpoints::start(database.clone(), shop_projections().rows, shutdown.clone());
        let follower = Follower::start(Arc::new(source), &shop_projections().rows, SHARDS, shutdown.clone());
        let models = Arc::new(PostgresReadModels::new(database.clone(), follower.watermarks()));
        Self {
            log,
            history,
            feed,
            published: 0,
            runner,
            follower,
            models,
            database,
            schema,
            shutdown,
            _dir: dir,
        }
    }

    /// Another process of the role `projections`.
    async fn another(&self, projections: Vec<Arc<dyn Projection>>) -> Runner {
        run(&self.schema, projections, &self.feed, &self.log, &self.shutdown).await
    }

    fn publish(&mut self) {
        self.history.frames[self.published..].iter().for_each(|frame| self.feed.publish(Arc::clone(frame)));
        self.published = self.history.frames.len();
    }

    async fn trade(&mut self, stories: &[Story]) {
        self.history.shop(stories).await;
        self.publish();
    }

    /// Makes a product and reads it under its token; how often the answer was to repeat.
    async fn product(&mut self, n: i64) -> u64 {
        let id = self.history.product(details(n), 100 + n).await;
        self.publish();
        let token = SyncToken::of(self.history.events.last().unwrap().position);
        let mut repeated = 0;
        loop {
            let until = tokio::time::Instant::now() + Duration::from_secs(2);
            let read = async {
                self.models.wait_for(products::NAME, &token, Duration::from_secs(2)).await?;
                self.models.clone().after(&token, until).product("default", id).await
            };
            match read.await {
                Ok(found) => {
                    assert!(found.is_some(), "an empty answer under {token}");
                    return repeated;
                }
                Err(ReadError::Stale { .. } | ReadError::NotLive { .. }) => repeated += 1,
                Err(error) => panic!("{error}"),
            }
            assert!(repeated < 30, "{token} is never seen");
        }
    }

    async fn seen_by_the_follower(&self) {
        let mut token = SyncToken::default();
        self.history.heads().into_iter().filter(|head| head.n > 0).for_each(|head| token.add(head));
        for mark in self.follower.watermarks() {
            mark.wait_for(&token, WAIT).await.unwrap();
        }
    }

    async fn sql(&self) -> PgConnection {
        let mut sql = PgConnection::connect(&engines().postgres).await.unwrap();
        sql.execute(format!("SET search_path = {}", self.schema.name()).as_str()).await.unwrap();
        sql
    }
}

async fn run(
    schema: &PostgresSchema,
    projections: Vec<Arc<dyn Projection>>,
    feed: &Arc<InProcessFeed>,
    log: &Arc<SqliteLog>,
    shutdown: &CancellationToken,
) -> Runner {
    let parts = RunnerParts {
        group: "rows",
        store: Arc::new(PostgresReadStore::new(Database::connect(&schema.url()).await.unwrap())),
        projections,
        feed: feed.clone(),
        log: log.clone(),
        clock: Arc::new(SystemClock),
        config: RunnerConfig { max_backoff: Duration::from_millis(100), ..RunnerConfig::default() },
        shutdown: shutdown.clone(),
    };
    Runner::start(parts).await.unwrap()
}

fn waits(runner: &Runner) -> bool {
    runner.status().iter().all(|status| matches!(status.state, State::Waiting { .. }))
}

fn runs(runner: &Runner) -> bool {
    runner.status().iter().all(|status| status.state == State::Running)
}

/// Processes of the old version keep reading and feeding the live rows until the new ones have caught up; nobody reads an empty or an
/// older answer; then the old appliers stop, and a rollback brings them back.
// proves: QRY-1, QRY-2, P5, P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_is_filled_beside_the_live_rows_under_load() {
    let mut world = World::start().await;
    world.trade(&[Story::Delivered, Story::Paid, Story::Declined, Story::OutOfStock].repeat(10)).await;
    world.seen_by_the_follower().await;
    let before = world.follower.watermark("products").unwrap().mark();
    let reading = Arc::new(AtomicBool::new(true));
    let reads = Arc::new(AtomicU64::new(0));
    let reader = {
        let (pool, reading, reads) = (world.database.reads().clone(), reading.clone(), reads.clone());
        tokio::spawn(async move {
            let mut most = (0, 0);
            while reading.load(Ordering::Relaxed) {
                let sql = "SELECT (SELECT count(*) FROM products), (SELECT count(*) FROM orders)";
                let now: (i64, i64) = sqlx::query_as(sql).fetch_one(&pool).await.unwrap();
                assert!(now.0 >= most.0 && now.1 >= most.1, "{now:?} after {most:?}");
                most = now;
                reads.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let new = world.another(newer()).await;
    assert!(waits(&new), "{:?}", new.status());
    assert!(world.product(1).await == 0 && runs(&world.runner), "the old version goes on");
    let (database, log) = (world.database.clone(), world.log.clone() as Arc<dyn LogReader>);
    let renewing = tokio::spawn(async move { renew(&database, &newer(), log).await });
    let mut n = 2;
    while !renewing.is_finished() || n < 20 {
        world.product(n).await;
        n += 1;
    }
    renewing.await.unwrap().unwrap();
    eventually("the new version to run", WAIT, || async { runs(&new).then_some(()) }).await;
    for n in 0..10 {
        world.product(100 + n).await;
    }
    eventually("the old version to stop writing", WAIT, || async { waits(&world.runner).then_some(()) })
        .await;
    world.seen_by_the_follower().await;
    assert_ne!(world.follower.watermark("products").unwrap().mark().generation, before.generation);
    reading.store(false, Ordering::Relaxed);
    reader.await.unwrap();
    assert!(reads.load(Ordering::Relaxed) > 10);
    // An older program that starts now leaves the newer rows alone.
    renew(&world.database, &shop_projections().rows, world.log.clone()).await.unwrap();
    assert!(runs(&new) && waits(&world.runner));
    rollback(&world.database, &shop_projections().rows, "products", world.log.clone()).await.unwrap();
    eventually("the old version to go on", WAIT, || async {
        let status = world.runner.status();
        status.iter().any(|s| s.name == "products" && s.state == State::Running).then_some(())
    })
    .await;
    world.product(200).await;
    world.shutdown.cancel();
}

/// A database that lost its last commits: the rows and checkpoints are those of before, in the same generation, and nobody is told.
// proves: QRY-1, P6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_put_back_to_an_older_state_are_noticed() {
    let mut world = World::start().await;
    world.product(1).await;
    let (mut sql, name) = (world.sql().await, world.schema.name().to_owned());
    let rows = format!("{name}_products_1.products");
    let back_up = format!(
        "CREATE TABLE {name}.backed_rows AS TABLE {rows}; CREATE TABLE {name}.backed_marks AS TABLE checkpoints"
    );
    sql.execute(back_up.as_str()).await.unwrap();
    for n in 2..12 {
        world.product(n).await;
    }
    // Nobody applies anything meanwhile.
    world.shutdown.cancel();
    world.runner.stopped().await;
    let shutdown = CancellationToken::new();
    let source =
        PostgresCheckpoints::start(world.database.clone(), shop_projections().rows, shutdown.clone());
    let follower = Follower::start(Arc::new(source), &shop_projections().rows, SHARDS, shutdown.clone());
    let mark = follower.watermark("products").unwrap();
    let last = world.history.events.last().unwrap();
    let (token, id) = (SyncToken::of(last.position), last.stream.id().parse().unwrap());
    mark.wait_for(&token, WAIT).await.unwrap();
    let models = Arc::new(PostgresReadModels::new(world.database.clone(), follower.watermarks()));
    let put_back = format!(
        "BEGIN; DELETE FROM {rows}; INSERT INTO {rows} SELECT * FROM {name}.backed_rows;
         DELETE FROM checkpoints; INSERT INTO checkpoints SELECT * FROM {name}.backed_marks; COMMIT"
    );
    sql.execute(put_back.as_str()).await.unwrap();
    // At once, whatever the follower has heard by then.
    let until = tokio::time::Instant::now() + Duration::from_millis(200);
    let answer = models.clone().after(&token, until).product("default", id).await;
    assert!(matches!(answer, Err(ReadError::Stale { .. })), "{answer:?}");
    mark.subscribe().wait_for(|mark| !mark.seen.covers(&token)).await.unwrap();
    let status = follower.status(&world.history.heads()).await;
    let products = status.iter().find(|status| status.name == "products").unwrap();
    assert!(products.lag_events >= 10, "{products:?}");
    // The events come again, and a query that waits gets its answer.
    let runner = run(&world.schema, shop_projections().rows, &world.feed, &world.log, &shutdown).await;
    let until = tokio::time::Instant::now() + WAIT;
    assert!(models.after(&token, until).product("default", id).await.unwrap().is_some());
    shutdown.cancel();
    runner.stopped().await;
}

/// Rows of a version that had fewer columns: nobody is answered from them, the process isn't ready, and it fills its own.
// proves: OPS-3, OPS-12, QRY-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_lack_a_column_are_not_asked() {
    let mut world = World::start().await;
    world.product(1).await;
    let product = world.history.events[0].stream.id().parse().unwrap();
    world.shutdown.cancel();
    world.runner.stopped().await;
    let (mut sql, name) = (world.sql().await, world.schema.name().to_owned());
    let older = format!(
        "BEGIN; ALTER TABLE {name}_products_1.products DROP COLUMN description CASCADE;
         CREATE VIEW {name}.products AS SELECT * FROM {name}_products_1.products;
         UPDATE generations SET shape = replace(shape, '\"description\" text COLLATE \"C\", ', '')
         WHERE projection = 'products'; COMMIT"
    );
    sql.execute(older.as_str()).await.unwrap();
    let (database, shutdown) =
        (Database::connect(&world.schema.url()).await.unwrap(), CancellationToken::new());
    let source = PostgresCheckpoints::start(database.clone(), shop_projections().rows, shutdown.clone());
    let follower = Follower::start(Arc::new(source), &shop_projections().rows, SHARDS, shutdown.clone());
    let state = async || {
        let all = follower.status(&world.history.heads()).await;
        all.into_iter().find(|status| status.name == "products").unwrap().state
    };
    eventually("the follower to tell", WAIT, || async {
        matches!(state().await, State::Waiting { reason } if reason.contains("products.description"))
            .then_some(())
    })
    .await;
    let models = Arc::new(PostgresReadModels::new(database.clone(), follower.watermarks()));
    let answer = models.product("default", product).await;
    assert_eq!(answer, Err(ReadError::NotLive { model: "products" }));
    let runner = run(&world.schema, shop_projections().rows, &world.feed, &world.log, &shutdown).await;
    let waiting: Vec<_> = runner.status().into_iter().filter(|s| s.state != State::Running).collect();
    assert_eq!(waiting.iter().map(|status| status.name).collect::<Vec<_>>(), ["products"]);
    renew(&database, &shop_projections().rows, world.log.clone()).await.unwrap();
    eventually("the follower to go on", WAIT, || async { (state().await == State::Running).then_some(()) })
        .await;
    eventually("the runner to go on", WAIT, || async { runs(&runner).then_some(()) }).await;
    // A connection that knew the view before may refuse once.
    let found =
        eventually("an answer", WAIT, || async { models.product("default", product).await.ok() }).await;
    assert!(found.is_some());
    shutdown.cancel();
}

/// Somebody has read the views and left the transaction open: no start waits for it, appliers and queries go on, and what it is in the
/// way of is done when it has ended.
// proves: OPS-1, QRY-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_transaction_holds_up_nobody() {
    let mut world = World::start().await;
    world.trade(&[Story::Delivered, Story::Paid]).await;
    world.seen_by_the_follower().await;
    // As if an older program had made the tables, without one of the indexes.
    let (mut sql, name) = (world.sql().await, world.schema.name().to_owned());
    let older =
        format!("DROP INDEX {name}_orders_1.orders_by_customer; UPDATE generations SET indexes = '-- fewer'");
    sql.execute(older.as_str()).await.unwrap();
    let mut analyst = world.sql().await;
    analyst
        .execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM orders; SELECT count(*) FROM products")
        .await
        .unwrap();
    let started = Instant::now();
    let same = world.another(shop_projections().rows).await;
    let new = world.another(newer()).await;
    assert!(started.elapsed() < Duration::from_secs(10), "a start waited for {:?}", started.elapsed());
    assert!(runs(&same) && waits(&new));
    let indexing = renew(&world.database, &shop_projections().rows, world.log.clone()).await;
    assert!(indexing.is_err(), "indexes are made when everybody who might miss them has ended");

    let (database, log) = (world.database.clone(), world.log.clone() as Arc<dyn LogReader>);
    let renewing = tokio::spawn(async move { renew(&database, &newer(), log).await });
    let mut n = 0;
    let mut repeated = 0;
    while !renewing.is_finished() {
        repeated += world.product(n).await;
        n += 1;
    }
    let refused = renewing.await.unwrap();
    assert!(
        matches!(&refused, Err(RebuildError::InTheWay(_, who)) if who.contains("process")),
        "{refused:?}"
    );
    assert!(n >= 10, "{n} products, {repeated} answers repeated");
    // Of two appliers of the same rows one comes a moment later now and then.
    eventually("the live rows to be fed", WAIT, || async {
        let all = world.runner.status();
        all.iter().any(|status| status.name == "products" && status.state == State::Running).then_some(())
    })
    .await;

    analyst.execute("COMMIT").await.unwrap();
    renew(&world.database, &shop_projections().rows, world.log.clone()).await.unwrap();
    let made: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(format!("{name}_orders_1.orders_by_customer"))
        .fetch_one(&mut sql)
        .await
        .unwrap();
    assert!(made, "the index is made once nobody is in the way");
    renew(&world.database, &newer(), world.log.clone()).await.unwrap();
    eventually("the new version to run", WAIT, || async { runs(&new).then_some(()) }).await;
    world.product(1_000).await;
    let store = PostgresReadStore::new(world.database.clone());
    store.prepare(&newer(), world.log.store()).await.unwrap();
    assert!(store.load("orders").await.unwrap().foreign.is_none());
    world.shutdown.cancel();
}
