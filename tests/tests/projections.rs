//! The embedded read side as a whole: runners, watermarks, the questions, rebuild and redrive.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use domain::ports::clock::SystemClock;
use domain::ports::log::EventLog;
use domain::position::SyncToken;
use infra::feed::InProcessFeed;
use infra::rebuild::{RebuildReport, rebuild};
use infra::sqlite::log::SqliteLog;
use infra::sqlite::read_store::READ_FILE;
use projections::audit::events::{self, ReadStreams as _};
use projections::catalogue::documents::{self, ProductSearch as _};
use projections::catalogue::products::{self, ProductFilter, ProductSort, ReadProducts as _};
use projections::engine::query::Page;
use projections::engine::read_models::ReadModels;
use projections::engine::runner::RunnerConfig;
use projections::engine::status::State;
use projections::ordering::orders::ReadOrders as _;
use rusqlite::Connection;
use tempfile::TempDir;
use tests::contract::history::{History, Story, details, stream};
use tests::read_side::ReadSide;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const SHARDS: u16 = 4;
const WAIT: Duration = tests::shop::SETTLES_WITHIN;

/// A log, its feed and a read side over it.
struct World {
    dir: TempDir,
    log: Arc<SqliteLog>,
    history: History,
}

struct Running {
    side: ReadSide,
    shutdown: CancellationToken,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(SqliteLog::open(dir.path(), SHARDS).unwrap());
        let history = History::new(log.clone() as Arc<dyn EventLog>);
        Self { dir, log, history }
    }

    async fn start(&mut self) -> Running {
        let feed = Arc::new(InProcessFeed::open(self.log.clone()).await.unwrap());
        let shutdown = CancellationToken::new();
        let clock = Arc::new(SystemClock);
        let config = RunnerConfig::default();
        let side =
            ReadSide::start(self.dir.path(), feed.clone(), self.log.clone(), clock, config, shutdown.clone());
        Running { side: side.await.unwrap(), shutdown }
    }

    /// A token of everything decided so far.
    fn token(&self) -> SyncToken {
        let mut token = SyncToken::default();
        self.history.heads().into_iter().filter(|head| head.n > 0).for_each(|head| token.add(head));
        token
    }

    async fn rebuild(&self, names: &[&str]) -> Vec<RebuildReport> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut steps = 0;
        let reports =
            rebuild(self.dir.path(), infra::shop::projections(), &names, self.log.as_ref(), &mut |_| {
                steps += 1
            })
            .await
            .unwrap();
        assert!(steps > 0);
        reports
    }
}

impl Running {
    async fn caught_up(&self, token: &SyncToken) {
        for model in tests::contract::read_models::projection_names() {
            self.side.models.wait_for(model, token, WAIT).await.unwrap();
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.side.stopped().await;
    }
}

const STORIES: [Story; 4] = [Story::Delivered, Story::Paid, Story::Declined, Story::OutOfStock];

// proves: P6, P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_side_started_again_catches_up() {
    let mut world = World::new();
    world.history.shop(&STORIES).await;
    let running = world.start().await;
    running.caught_up(&world.token()).await;
    running.stop().await;
    let orders = world.history.shop(&STORIES).await;
    // Whoever takes the index away loses time, no data.
    std::fs::remove_dir_all(world.dir.path().join("search")).unwrap();
    let running = world.start().await;
    running.caught_up(&world.token()).await;
    assert!(running.side.models.order("default", orders[3]).await.unwrap().is_some());
    for status in running.side.status() {
        assert_eq!(
            (status.lag_events, status.state, status.parked_events),
            (0, State::Running, 0),
            "{}",
            status.name
        );
    }
    running.stop().await;
    assert!(world.rebuild(&[]).await.iter().all(RebuildReport::equal));
}

// proves: P6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_files_are_built_anew() {
    let mut world = World::new();
    world.history.shop(&STORIES).await;
    let damage = |file: &std::path::Path| std::fs::write(file, vec![7_u8; 3_000]).unwrap();
    let segment = |dir: &std::path::Path| {
        let mut files = std::fs::read_dir(dir.join("search")).unwrap().map(|entry| entry.unwrap().path());
        files.find(|file| file.extension().is_some_and(|e| e == "store")).unwrap()
    };
    let damages: [&dyn Fn(&std::path::Path); 4] = [
        &|_| {},
        &|dir| damage(&dir.join(READ_FILE)),
        &|dir| damage(&dir.join("search/meta.json")),
        &|dir| damage(&segment(dir)),
    ];
    for damage in damages {
        damage(world.dir.path());
        let running = world.start().await;
        running.caught_up(&world.token()).await;
        let page = Page { after: None, limit: 100 };
        let filter = ProductFilter::default();
        let hits = running
            .side
            .search
            .search_products("default", "", &filter, ProductSort::Created, &page)
            .await
            .unwrap();
        assert_eq!(hits.total, 4);
        running.stop().await;
        assert!(world.rebuild(&[]).await.iter().all(RebuildReport::equal));
    }
}

// proves: P5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_from_the_log_equals_the_live_rows() {
    let mut world = World::new();
    world.history.shop(&[STORIES, STORIES].concat()).await;
    let running = world.start().await;
    running.caught_up(&world.token()).await;
    running.stop().await;
    let reports = world.rebuild(&[]).await;
    assert_eq!(reports.len(), infra::shop::projections().rows.len() + 1);
    for report in &reports {
        assert!(report.equal() && report.differing_rows == 0 && report.parked == 0, "{report:?}");
        assert_eq!(report.events, world.history.events.len() as u64);
    }
    assert_eq!(
        reports.iter().find(|r| r.projection == "events").unwrap().rows,
        world.history.events.len() as u64
    );
    assert_eq!(reports.iter().find(|r| r.projection == "search").unwrap().rows, 5);
    // What was put in place goes on from where the log ends.
    let running = world.start().await;
    running.caught_up(&world.token()).await;
    running.stop().await;
}

// proves: P5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_finds_and_mends_rows_that_were_changed() {
    let mut world = World::new();
    world.history.shop(&STORIES).await;
    let running = world.start().await;
    running.caught_up(&world.token()).await;
    running.stop().await;
    let sql = Connection::open(world.dir.path().join(READ_FILE)).unwrap();
    assert_eq!(
        sql.execute("UPDATE payments SET captured_amount = 1 WHERE status = 'captured'", []).unwrap(),
        1
    );
    assert_eq!(sql.execute("DELETE FROM order_lines WHERE line = 2", []).unwrap(), 4);
    drop(sql);
    let reports = world.rebuild(&["payments", "orders", "users"]).await;
    let differing: Vec<_> = reports.iter().map(|r| (r.projection, r.equal(), r.differing_rows)).collect();
    assert_eq!(differing, [("orders", false, 4), ("payments", false, 1), ("users", true, 0)]);
    assert!(world.rebuild(&[]).await.iter().all(RebuildReport::equal));
}

// proves: EVT-4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_cant_be_read_is_parked_and_others_go_on() {
    let mut world = World::new();
    let poisoned = Uuid::now_v7();
    world.history.forge(&stream("product", poisoned), "product.created", "{\"nonsense\":true}").await;
    world.history.forge(&stream("product", poisoned), "product.discontinued", "{}").await;
    let sound = world.history.product(details(1), 100).await;
    let running = world.start().await;
    running.caught_up(&world.token()).await;
    let models = &running.side.models;
    assert!(models.product("default", sound).await.unwrap().is_some());
    for model in [products::NAME, documents::NAME] {
        assert!(models.is_parked(model, &stream("product", poisoned)).await.unwrap());
        assert!(!models.is_parked(model, &stream("product", sound)).await.unwrap());
    }
    assert!(!models.is_parked(events::NAME, &stream("product", poisoned)).await.unwrap());
    // Auditors see the events all the same, and so does what parked them: applied + parked = log.
    assert_eq!(models.stream_events(&stream("product", poisoned), 0, 10).await.unwrap().len(), 2);
    let parked: Vec<_> = running.side.status().into_iter().filter(|s| s.parked_events > 0).collect();
    assert_eq!(
        parked.iter().map(|s| (s.name, s.parked_streams, s.parked_events)).collect::<Vec<_>>(),
        [("products", 1, 2), ("search", 1, 2)]
    );
    let report = running.side.redrive("products").await.unwrap();
    assert_eq!((report.streams, report.applied, report.still_parked.len()), (1, 0, 1));
    assert!(running.side.redrive("nothing").await.is_err());
    running.stop().await;
    // A rebuild parks it again.
    let reports = world.rebuild(&["products", "search"]).await;
    assert!(reports.iter().all(|r| r.equal() && r.parked == 2), "{reports:?}");
    let running = world.start().await;
    assert!(running.side.models.is_parked(documents::NAME, &stream("product", poisoned)).await.unwrap());
    running.stop().await;
}
