//! Following the projections of another process through their checkpoints in PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ports::clock::SystemClock;
use domain::ports::feed::FanOut;
use domain::ports::log::EventLog;
use domain::position::SyncToken;
use infra::feed::InProcessFeed;
use infra::postgres::checkpoints::PostgresCheckpoints;
use infra::postgres::read_models::PostgresReadModels;
use infra::postgres::{Database, PostgresReadStore};
use infra::shop::projections as shop_projections;
use infra::sqlite::log::SqliteLog;
use projections::catalogue::products::{self, ReadProducts as _};
use projections::engine::follower::{Checkpoints, Follower, Pace, Visible};
use projections::engine::read_models::{ReadError, ReadModels};
use projections::engine::runner::{Runner, RunnerConfig, RunnerParts};
use projections::engine::status::State;
use projections::engine::store::StoreError;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use tests::contract::history::{History, details};
use tests::engines::engines;
use tests::postgres::PostgresSchema;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const SHARDS: u16 = 4;
const WAIT: Duration = tests::shop::SETTLES_WITHIN;

/// A process that runs the projections, and the parts of another one that only follows them.
struct World {
    history: History,
    feed: Arc<InProcessFeed>,
    runner: Runner,
    follower: Follower,
    reading: Database,
    models: PostgresReadModels,
    schema: PostgresSchema,
    shutdown: CancellationToken,
    _dir: TempDir,
}

/// Checkpoints that are read when somebody tells of a change, and at no other time.
struct ToldOnly(PostgresCheckpoints);

#[async_trait]
impl Checkpoints for ToldOnly {
    async fn visible(&self) -> Result<Vec<Visible>, StoreError> {
        self.0.visible().await
    }

    async fn changed(&self) {
        self.0.changed().await;
    }

    fn pace(&self) -> Pace {
        Pace { idle: WAIT * 10, awaited: WAIT * 10 }
    }
}

impl World {
    async fn start() -> Self {
        Self::start_over(|checkpoints| Arc::new(checkpoints)).await
    }

    async fn start_over(source: impl FnOnce(PostgresCheckpoints) -> Arc<dyn Checkpoints>) -> Self {
        let schema = PostgresSchema::fresh();
        let url = schema.url();
        let (writing, reading) =
            (Database::connect(&url).await.unwrap(), Database::connect(&url).await.unwrap());
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(SqliteLog::open(dir.path(), SHARDS).unwrap());
        let history = History::new(log.clone() as Arc<dyn EventLog>);
        let feed = Arc::new(InProcessFeed::open(log.clone()).await.unwrap());
        let shutdown = CancellationToken::new();
        // The follower first, as when its process is started first: there is no schema to ask yet.
        let source =
            source(PostgresCheckpoints::start(reading.clone(), shop_projections().rows, shutdown.clone()));
        let follower = Follower::start(source, &shop_projections().rows, SHARDS, shutdown.clone());
        let runner = Runner::start(RunnerParts {
            group: "rows",
            store: Arc::new(PostgresReadStore::new(writing)),
            projections: shop_projections().rows,
            feed: feed.clone(),
            log,
            clock: Arc::new(SystemClock),
            config: RunnerConfig::default(),
            shutdown: shutdown.clone(),
        });
        let runner = runner.await.unwrap();
        let models = PostgresReadModels::new(reading.clone(), follower.watermarks());
        Self { history, feed, runner, follower, reading, models, schema, shutdown, _dir: dir }
    }

    /// Makes a product and hands its frame to the feed, as an owner does; its id and its token.
    async fn product(&mut self, n: i64) -> (Uuid, SyncToken) {
        let id = self.history.product(details(n), 100 + n).await;
        self.feed.publish(Arc::clone(self.history.frames.last().unwrap()));
        (id, SyncToken::of(self.history.events.last().unwrap().position))
    }

    async fn sql(&self) -> PgConnection {
        let mut sql = PgConnection::connect(&engines().postgres).await.unwrap();
        sql.execute(format!("SET search_path = {}", self.schema.name()).as_str()).await.unwrap();
        sql
    }

    /// Ends the connection that listens; how many there were.
    async fn deafen(&self) -> i64 {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE $1";
        let listen = format!("LISTEN \"{}_checkpoints\"%", self.schema.name());
        sqlx::query_scalar(end).bind(listen).fetch_one(&mut self.sql().await).await.unwrap()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.runner.stopped().await;
        self.follower.stopped().await;
    }
}

// proves: QRY-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_soon_visible_in_another_process() {
    let mut world = World::start_over(|checkpoints| Arc::new(ToldOnly(checkpoints))).await;
    let mut waiting = Vec::new();
    for n in 0..400 {
        let (_, token) = world.product(n).await;
        let mark = world.follower.watermark("products").unwrap();
        waiting.push(tokio::spawn(async move { mark.wait_for(&token, WAIT).await }));
    }
    // A change that nobody tells of would not be seen here. How long it takes the bench measures, on a quiet machine.
    for one in waiting {
        one.await.unwrap().unwrap();
    }
    let heads = world.history.heads();
    let status = world.follower.status(&heads).await;
    assert_eq!(status.len(), shop_projections().rows.len());
    let products = status.iter().find(|status| status.name == "products").unwrap();
    assert_eq!((products.lag_events, &products.state), (0, &State::Running));
    world.stop().await;
}

// proves: QRY-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_listener_is_replaced_and_loses_nothing() {
    let mut world = World::start().await;
    let mut deafened = 0;
    for n in 0..40 {
        if n % 10 == 5 {
            deafened += world.deafen().await;
        }
        let (id, token) = world.product(n).await;
        world.models.wait_for(products::NAME, &token, WAIT).await.unwrap();
        assert!(world.models.product("default", id).await.unwrap().is_some());
    }
    assert!(deafened >= 1, "nobody listened");
    world.stop().await;
}

// proves: QRY-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_of_another_shape_is_read_after_one_refusal_per_connection() {
    let mut world = World::start().await;
    let (id, token) = world.product(1).await;
    world.models.wait_for(products::NAME, &token, WAIT).await.unwrap();
    let before = world.models.product("default", id).await.unwrap().unwrap();
    let mut sql = world.sql().await;
    let text: String =
        sqlx::query_scalar("SELECT pg_get_viewdef('products'::regclass)").fetch_one(&mut sql).await.unwrap();
    let other = text.replacen("sku", "sku::varchar AS sku", 1);
    assert_ne!(text, other);
    sql.execute(format!("BEGIN; DROP VIEW products; CREATE VIEW products AS {other} COMMIT").as_str())
        .await
        .unwrap();
    let mut refused = 0;
    let after = loop {
        match world.models.product("default", id).await {
            Ok(found) => break found,
            Err(ReadError::Unavailable(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(refused <= world.reading.url().connections(), "it is refused for ever");
    };
    assert_eq!(after, Some(before));
    world.stop().await;
}
