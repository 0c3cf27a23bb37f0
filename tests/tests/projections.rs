//! The embedded read side as a whole: runners, watermarks, the questions, rebuild and redrive.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use domain::ports::clock::SystemClock;
use domain::ports::feed::FanOut;
use domain::ports::log::EventLog;
use domain::position::{Position, Seen, Shard, SyncToken};
use domain::shop::product::ProductCommand;
use domain::stream::StreamId;
use infra::feed::InProcessFeed;
use infra::rebuild::{RebuildReport, rebuild};
use infra::sqlite::log::SqliteLog;
use infra::sqlite::read_store::READ_FILE;
use projections::read_models::{
    EventFilter, Model, OrderFilter, Page, ProductFilter, ProductSort, ReadError, ReadModels,
};
use projections::runner::RunnerConfig;
use projections::status::State;
use rusqlite::Connection;
use tempfile::TempDir;
use tests::contract::history::{History, Story, details, stream, usd};
use tests::read_side::ReadSide;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const SHARDS: u16 = 4;
const WAIT: Duration = Duration::from_secs(20);

const MODELS: [Model; 8] = [
    Model::Products,
    Model::Search,
    Model::Inventory,
    Model::Orders,
    Model::Payments,
    Model::Shipments,
    Model::Users,
    Model::Events,
];

/// A log, its feed and a read side over it.
struct World {
    dir: TempDir,
    log: Arc<SqliteLog>,
    history: History,
    published: usize,
}

struct Running {
    side: ReadSide,
    feed: Arc<InProcessFeed>,
    shutdown: CancellationToken,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(SqliteLog::open(dir.path(), SHARDS).unwrap());
        let history = History::new(log.clone() as Arc<dyn EventLog>);
        Self { dir, log, history, published: 0 }
    }

    async fn start(&mut self) -> Running {
        let feed = Arc::new(InProcessFeed::open(self.log.clone()).await.unwrap());
        self.published = self.history.frames.len();
        let shutdown = CancellationToken::new();
        let clock = Arc::new(SystemClock);
        let config = RunnerConfig::default();
        let side =
            ReadSide::start(self.dir.path(), feed.clone(), self.log.clone(), clock, config, shutdown.clone());
        Running { side: side.await.unwrap(), feed, shutdown }
    }

    /// Hands new frames to the feed, as an owner does right after deciding them.
    fn publish(&mut self, running: &Running) {
        for frame in &self.history.frames[self.published..] {
            running.feed.publish(Arc::clone(frame));
        }
        self.published = self.history.frames.len();
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
        let reports = rebuild(self.dir.path(), &names, self.log.as_ref(), &mut |_| steps += 1).await.unwrap();
        assert!(steps > 0);
        reports
    }
}

impl Running {
    async fn caught_up(&self, token: &SyncToken) {
        for model in MODELS {
            self.side.models.wait_for(model, token, WAIT).await.unwrap();
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.side.stopped().await;
    }
}

const STORIES: [Story; 4] = [Story::Delivered, Story::Paid, Story::Declined, Story::OutOfStock];

// proves: QRY-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_with_a_token_sees_what_the_token_names() {
    let mut world = World::new();
    let running = world.start().await;
    for n in 0..30 {
        let id = world.history.product(details(n), 1_000).await;
        world.publish(&running);
        let token = SyncToken::of(world.history.events.last().unwrap().position);
        running.side.models.wait_for(Model::Products, &token, WAIT).await.unwrap();
        assert!(running.side.models.product("default", id).await.unwrap().is_some());
        running.side.models.wait_for(Model::Search, &token, WAIT).await.unwrap();
        let page = Page { after: None, limit: 100 };
        let filter = ProductFilter::default();
        let hits = running
            .side
            .models
            .search("default", "thing", &filter, ProductSort::Created, &page)
            .await
            .unwrap();
        assert_eq!(hits.total, n as u64 + 1);
        assert!(hits.page.items.iter().any(|product| product.id == id));
    }
    running.stop().await;
}

// proves: QRY-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_beyond_the_head_is_stale() {
    let mut world = World::new();
    let running = world.start().await;
    let token = SyncToken::of(Position { shard: Shard(1), n: 1_000 });
    for model in MODELS {
        let answer = running.side.models.wait_for(model, &token, Duration::from_millis(20)).await;
        assert!(matches!(answer, Err(ReadError::Stale { .. })), "{model:?}");
    }
    running.stop().await;
}

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
        let hits =
            running.side.models.search("default", "", &filter, ProductSort::Created, &page).await.unwrap();
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
    assert_eq!(reports.len(), infra::rebuild::names().len());
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
    for model in [Model::Products, Model::Search] {
        assert!(models.is_parked(model, &stream("product", poisoned)).await.unwrap());
        assert!(!models.is_parked(model, &stream("product", sound)).await.unwrap());
    }
    assert!(!models.is_parked(Model::Events, &stream("product", poisoned)).await.unwrap());
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
    assert!(running.side.models.is_parked(Model::Search, &stream("product", poisoned)).await.unwrap());
    running.stop().await;
}

// proves: ORD-1, CAT-1, INV-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_answered_from_rows() {
    let mut world = World::new();
    let orders = world.history.shop(&STORIES).await;
    let running = world.start().await;
    running.caught_up(&world.token()).await;
    let models = &running.side.models;

    let delivered = models.order("default", orders[0]).await.unwrap().unwrap();
    assert_eq!((delivered.status.as_str(), delivered.total), ("completed", usd(3_000)));
    assert_eq!(delivered.items.iter().map(|l| (l.line, l.quantity)).collect::<Vec<_>>(), [(1, 2), (2, 1)]);
    let (paid, sent) = (delivered.payment.unwrap(), delivered.shipment.unwrap());
    assert_eq!((paid.status.as_str(), sent.status.as_str()), ("partially_refunded", "delivered"));
    let payment = models.payment("default", paid.id).await.unwrap().unwrap();
    assert_eq!((payment.captured, payment.refunded, payment.order_id), (usd(3_000), usd(500), orders[0]));
    assert!(payment.refunds.len() == 1 && payment.refunds[0].settled);
    let shipment = models.shipment("default", sent.id).await.unwrap().unwrap();
    assert_eq!(shipment.carrier_reference.as_deref(), Some("car_1"));
    let declined = models.order("default", orders[2]).await.unwrap().unwrap();
    assert_eq!(
        (declined.status.as_str(), declined.reason.as_deref()),
        ("cancelled", Some("payment_declined"))
    );
    assert_eq!(declined.payment.unwrap().status, "declined");
    assert!(declined.shipment.is_none());
    let sold_out = models.order("default", orders[3]).await.unwrap().unwrap();
    assert!(sold_out.payment.is_none() && sold_out.reason.as_deref() == Some("out_of_stock"));
    assert!(models.order("other", orders[0]).await.unwrap().is_none());
    let user = models.user("default", delivered.customer_id).await.unwrap().unwrap();
    assert_eq!((user.name.as_text(), user.version), ("v1.other", 2));

    let (all, page) = (ProductFilter::default(), Page { after: None, limit: 9 });
    let products = models.products("default", &all, ProductSort::Name, &page).await.unwrap();
    assert_eq!(products.items.len(), 4);
    assert_eq!(products.items[0].name, "Crème brûlée torch");
    let stock = models.stock("default", &[products.items[0].id, products.items[1].id]).await.unwrap();
    assert_eq!(stock.iter().filter(|s| s.warehouse == "main").count(), 2);

    let mine = OrderFilter { customer_id: Some(delivered.customer_id), status: None };
    let page = Page { after: None, limit: 10 };
    let listed = models.orders("default", &mine, &page).await.unwrap();
    assert_eq!(listed.items.iter().map(|o| o.id).collect::<Vec<_>>(), [orders[0]]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_rows_put_together_are_the_whole_list() {
    let mut world = World::new();
    let orders = world.history.shop(&[STORIES, STORIES].concat()).await;
    for n in 0..20 {
        world.history.product(details(n), 100 * (n % 3) + 100).await;
    }
    let running = world.start().await;
    running.caught_up(&world.token()).await;
    let models = &running.side.models;
    for limit in [1, 3, 8] {
        let mut page = Page { after: None, limit };
        let mut found = Vec::new();
        loop {
            let listed = models.orders("default", &OrderFilter::default(), &page).await.unwrap();
            assert!(listed.items.len() <= limit && listed.items.iter().all(|order| !order.items.is_empty()));
            found.extend(listed.items.into_iter().map(|order| order.id));
            page.after = listed.next;
            if page.after.is_none() {
                break;
            }
        }
        assert_eq!(found, orders);
    }
    let sorts = [ProductSort::Created, ProductSort::PriceAsc, ProductSort::PriceDesc, ProductSort::Name];
    for sort in sorts {
        let filter = ProductFilter::default();
        let whole =
            models.products("default", &filter, sort, &Page { after: None, limit: 100 }).await.unwrap().items;
        assert_eq!(whole.len(), 24);
        let mut page = Page { after: None, limit: 5 };
        let mut found = Vec::new();
        loop {
            let listed = models.products("default", &filter, sort, &page).await.unwrap();
            found.extend(listed.items);
            page.after = listed.next;
            if page.after.is_none() {
                break;
            }
        }
        assert_eq!(found, whole, "{sort:?}");
        // The search, asked for everything in the same order, agrees.
        let hits =
            models.search("default", "", &filter, sort, &Page { after: None, limit: 100 }).await.unwrap();
        assert_eq!(hits.page.items, whole, "{sort:?}");
    }
    let broken = Page { after: Some("x".into()), limit: 5 };
    let orders = models.orders("default", &OrderFilter::default(), &broken).await;
    assert_eq!(orders.unwrap_err(), ReadError::BadCursor);
    let products = models.products("default", &ProductFilter::default(), ProductSort::Created, &broken).await;
    assert_eq!(products.unwrap_err(), ReadError::BadCursor);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auditors_page_through_pinned_heads() {
    let mut world = World::new();
    world.history.shop(&STORIES).await;
    let other = StreamId::new("other", "product", Uuid::now_v7());
    world.history.decide(&other, ProductCommand::Create { details: details(1), price: usd(1) }).await;
    let running = world.start().await;
    running.caught_up(&world.token()).await;
    let models = &running.side.models;
    let heads: Seen = models.seen(Model::Events);
    let before = world.history.events.len();
    world.history.shop(&STORIES).await;
    world.publish(&running);
    running.caught_up(&world.token()).await;

    let mut expected: Vec<_> = world.history.events[..before].to_vec();
    expected.retain(|event| event.stream.tenant() == "default");
    expected.sort_by_key(|event| event.position);
    let mut from = Position { shard: Shard(0), n: 0 };
    let mut found = Vec::new();
    loop {
        let page = models.events("default", &EventFilter::default(), from, &heads, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        from = Position { shard: last.position.shard, n: last.position.n + 1 };
        found.extend(page);
    }
    assert_eq!(found, expected);

    // Inclusive, and on through the later shards.
    let middle = expected[expected.len() / 2].position;
    let rest = models.events("default", &EventFilter::default(), middle, &heads, 1_000).await.unwrap();
    assert_eq!(rest, expected[expected.len() / 2..]);
    let paid = EventFilter { event_type: Some("order.paid".into()), ..EventFilter::default() };
    assert_eq!(
        models.events("default", &paid, Position { shard: Shard(0), n: 1 }, &heads, 100).await.unwrap().len(),
        2
    );
    let one = EventFilter { correlation_id: Some(expected[5].correlation_id), ..EventFilter::default() };
    let found =
        models.events("default", &one, Position { shard: Shard(0), n: 1 }, &heads, 100).await.unwrap();
    assert!(found.contains(&expected[5]));
    let nobody = EventFilter { actor: Some("user:x".into()), ..EventFilter::default() };
    assert!(
        models
            .events("default", &nobody, Position { shard: Shard(0), n: 1 }, &heads, 100)
            .await
            .unwrap()
            .is_empty()
    );
    running.stop().await;
}
