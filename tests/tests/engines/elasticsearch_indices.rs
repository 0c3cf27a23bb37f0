//! What is particular to indices: aliases, versions, loss, and looking into them with other tools.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use domain::ports::clock::SystemClock;
use domain::ports::feed::{FanOut as _, Feed};
use domain::ports::log::LogReader;
use domain::position::{Seen, SyncToken};
use infra::elasticsearch::{self, ElasticsearchCheckpoints, ElasticsearchSearch, ElasticsearchStore};
use infra::feed::InProcessFeed;
use infra::sqlite::log::SqliteLog;
use infra::sqlite::read_store::SqliteReadStore;
use infra::tantivy::TantivySearch;
use projections::catalogue::documents::{INDEX, ProductSearch as _, Search, SearchHits};
use projections::catalogue::products::{ProductFilter, ProductSort};
use projections::engine::applier::{Applier, Limits};
use projections::engine::follower::{Checkpoints as _, Visible};
use projections::engine::model::Projection;
use projections::engine::query::Page;
use projections::engine::runner::{Runner, RunnerConfig, RunnerParts};
use projections::engine::store::{Redrive, RowStore, StoreError};
use reqwest::Method;
use serde_json::json;
use tests::contract::history::details;
use tests::contract::read_store::{Fixture, SHARDS, applier, fixture};
use tests::elasticsearch::Indices;
use tokio_util::sync::CancellationToken;

/// Waits for something that must come to be.
pub(super) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + tests::shop::SETTLES_WITHIN;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A runner over all three projections, and what feeds it.
pub(super) struct Running {
    pub(super) fixture: Fixture,
    pub(super) feed: Arc<InProcessFeed>,
    pub(super) runner: Runner,
    pub(super) store: Arc<ElasticsearchStore>,
    pub(super) search: ElasticsearchSearch,
    shutdown: CancellationToken,
    pub(super) indices: Indices,
}

impl Running {
    pub(super) async fn start() -> Self {
        Self::start_with(Indices::store).await
    }

    pub(super) async fn start_with(store: fn(&Indices) -> Arc<ElasticsearchStore>) -> Self {
        let (fixture, indices) = (fixture().await, Indices::default());
        let feed = Arc::new(InProcessFeed::open(fixture.log.clone()).await.unwrap());
        let (store, shutdown) = (store(&indices), CancellationToken::new());
        let parts = RunnerParts {
            group: "search",
            store: store.clone(),
            projections: infra::shop::projections().documents.to_vec(),
            feed: feed.clone() as Arc<dyn Feed>,
            log: fixture.log.clone(),
            clock: Arc::new(SystemClock),
            config: RunnerConfig { max_backoff: Duration::from_millis(100), ..RunnerConfig::default() },
            shutdown: shutdown.clone(),
        };
        let runner = Runner::start(parts).await.unwrap();
        let search = ElasticsearchSearch::new(&indices.url).unwrap();
        let running = Self { fixture, feed, runner, store, search, shutdown, indices };
        running.caught_up().await;
        running
    }

    /// Waits until searches see everything decided.
    pub(super) async fn caught_up(&self) {
        let mut token = SyncToken::default();
        self.fixture.history.heads().into_iter().for_each(|head| token.add(head));
        for mark in self.runner.watermarks() {
            mark.wait_for(&token, tests::shop::SETTLES_WITHIN).await.unwrap();
        }
    }

    /// Has a product made, and tells the feed.
    pub(super) async fn product(&mut self, n: i64) {
        self.fixture.history.product(details(n), 100 + n).await;
        self.feed.publish(Arc::clone(self.fixture.history.frames.last().unwrap()));
    }

    pub(super) async fn all_products(&self) -> Option<SearchHits> {
        let page = Page { after: None, limit: 100 };
        let filter = ProductFilter::default();
        self.search.search_products("default", "", &filter, ProductSort::Created, &page).await.ok()
    }

    pub(super) async fn stop(self) -> (Fixture, Indices) {
        self.shutdown.cancel();
        self.runner.stopped().await;
        (self.fixture, self.indices)
    }
}

/// The same rows as tantivy's.
// proves: EVT-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn products_are_the_same_as_tantivys() {
    let (fixture, indices, dir) = (fixture().await, Indices::default(), tempfile::tempdir().unwrap());
    let letters = Arc::new(SqliteReadStore::open(dir.path()).unwrap());
    let stores: [Arc<dyn RowStore>; 2] =
        [indices.store(), Arc::new(TantivySearch::new(&INDEX, dir.path(), letters))];
    let search: Arc<dyn Projection> = Arc::new(Search);
    let mut digests = Vec::new();
    for store in stores {
        let mut applier = applier(&store, std::slice::from_ref(&search), fixture.log.store()).await;
        applier.apply(&fixture.history.events, fixture.log.as_ref()).await.unwrap();
        store.publish().await.unwrap();
        digests.push(store.digest(&search).await.unwrap());
    }
    assert_eq!(digests[0], digests[1]);
}

/// Neither by our store nor by anybody who respects versions.
// proves: CAT-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_version_never_overwrites_a_newer_one() {
    let (fixture, indices) = (fixture().await, Indices::default());
    let store: Arc<dyn RowStore> = indices.store();
    let search: Arc<dyn Projection> = Arc::new(Search);
    let mut applier = applier(&store, std::slice::from_ref(&search), fixture.log.store()).await;
    applier.apply(&fixture.history.events, fixture.log.as_ref()).await.unwrap();
    store.publish().await.unwrap();
    let before = store.digest(&search).await.unwrap();
    for event in fixture.history.events.iter().filter(|e| e.stream.kind() == "product") {
        let changes = search.map(event).unwrap();
        store.redrive(Redrive { projection: "search", letters: vec![], changes }).await.unwrap();
    }
    assert_eq!(store.digest(&search).await.unwrap(), before);
    let newer = fixture.history.events.iter().rfind(|e| e.stream.kind() == "product" && e.version > 1);
    let path = format!(
        "/{}/_doc/{}%2Fdefault?version=1&version_type=external",
        indices.name("products"),
        newer.unwrap().stream.id()
    );
    assert_eq!(indices.ask(Method::PUT, &path, Some(json!({"tenant": "default"}))).await.0, 409);
}

/// What analysts and auditors see, with none of our code: documents only, in words of the API.
// proves: QRY-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_and_events_can_be_looked_into() {
    let running = Running::start().await;
    let (fixture, indices) = running.stop().await;
    let events = &fixture.history.events;
    let order = events.iter().rfind(|e| e.event_type == "order.paid").unwrap();
    let count = |alias: &'static str, query: serde_json::Value| {
        let (indices, path) = (&indices, format!("/{}/_search", indices.name(alias)));
        async move {
            let body = json!({"query": query, "track_total_hits": true, "sort": [{"_doc": "asc"}]});
            let (status, answer) = indices.ask(Method::POST, &path, Some(body)).await;
            assert_eq!(status, 200, "{answer}");
            answer["hits"].clone()
        }
    };
    let everything = || json!({"match_all": {}});
    assert_eq!(count("events", everything()).await["total"]["value"], events.len());
    let of_kind = |kind| events.iter().filter(|e| e.stream.kind() == kind && e.version == 1).count();
    assert_eq!(count("orders", everything()).await["total"]["value"], of_kind("order"));
    assert_eq!(count("products", everything()).await["total"]["value"], of_kind("product"));

    let found = count("orders", json!({"term": {"order_id": order.stream.id()}})).await;
    let document = &found["hits"][0]["_source"];
    let version = events.iter().filter(|e| e.stream == order.stream).count();
    assert_eq!(document["order_version"], version);
    assert!(document["lines"][0]["sku"].is_string() && document["payment_id"].is_string(), "{document}");
    assert!(!document.to_string().contains("shipping"), "{document}");

    let found = count("events", json!({"term": {"stream_id": order.stream.id()}})).await;
    assert_eq!(found["total"]["value"], version);
    let phrase = json!({"match_phrase": {"data": order.stream.id()}});
    assert!(count("events", phrase).await["total"]["value"].as_u64() > Some(0), "payments name their order");
    let id = format!("/{}/_doc/{}", indices.name("events"), order.id);
    let (_, document) = indices.ask(Method::GET, &id, None).await;
    assert_eq!((&document["_version"], &document["_source"]["data"]), (&json!(1), &json!(order.data)));
    assert_eq!(document["_source"]["n"], order.position.n);
}

/// The index, or only its alias: made anew without a restart, and without a new event; and no write makes an index by itself.
// proves: P6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_while_running_is_built_anew() {
    let mut running = Running::start().await;
    let before = running.all_products().await.unwrap();
    let orders = running.indices.behind("orders").await;
    let old = running.indices.behind("products").await;
    running.indices.ask(Method::DELETE, &format!("/{}", old[0]), None).await;
    let seen = eventually("the products are there again", async || running.all_products().await).await;
    // Whole as soon as it can be searched again.
    assert_eq!(seen, before);
    let new = running.indices.behind("products").await;
    assert!(new.len() == 1 && new != old, "{new:?}");
    assert_eq!(running.indices.behind("orders").await, orders, "nothing else was touched");

    // Analysts read through one alias, searches through another one.
    let alias = running.indices.name("products");
    for alias in [alias.clone(), format!("{alias}-as-*")] {
        running.indices.ask(Method::DELETE, &format!("/{}/_alias/{alias}", new[0]), None).await;
        eventually("the alias is there again", async || {
            let shown = running.indices.behind("products").await == new;
            (shown && running.all_products().await? == before).then_some(())
        })
        .await;
    }

    running.product(77).await;
    running.caught_up().await;
    assert!(running.all_products().await.unwrap().page.items.iter().any(|p| p.price.amount == 177));
    let all = running.indices.all().await;
    assert_eq!(all.len(), 3, "{all:?}");
}

/// A write that finds no index fails and makes none.
// proves: P6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_makes_an_index() {
    let (fixture, indices) = (fixture().await, Indices::default());
    let store: Arc<dyn RowStore> = indices.store();
    let search: Arc<dyn Projection> = Arc::new(Search);
    let mut applier = applier(&store, std::slice::from_ref(&search), fixture.log.store()).await;
    for name in indices.all().await {
        indices.ask(Method::DELETE, &format!("/{name}"), None).await;
    }
    let failed = applier.apply(&fixture.history.events, fixture.log.as_ref()).await;
    assert!(
        matches!(failed, Err(projections::engine::applier::ApplyError::Store(StoreError::Unavailable(_)))),
        "{failed:?}"
    );
    assert_eq!(indices.all().await, Vec::<String>::new());
}

/// Another process learns what is applied, and a waiting query makes it visible.
// proves: QRY-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_query_of_another_process_makes_documents_visible() {
    let (fixture, indices) = (fixture().await, Indices::default());
    let store: Arc<dyn RowStore> = indices.store();
    let follower =
        ElasticsearchCheckpoints::new(&indices.url, &infra::shop::projections().documents, SHARDS).unwrap();
    assert!(follower.visible().await.is_err(), "there is no index yet");
    let limits = Limits::default();
    let (projections, clock) = (infra::shop::projections().documents, Arc::new(SystemClock));
    let mut applier = Applier::open(store, &projections, fixture.log.store(), clock, limits).await.unwrap();
    let of = |all: Vec<Visible>, name: &str| {
        all.into_iter().find(|one| one.projection == name && one.unreadable.is_none()).unwrap().mark.seen
    };
    assert_eq!(of(follower.visible_now().await.unwrap(), "search"), Seen::none(SHARDS));
    applier.apply(&fixture.history.events, fixture.log.as_ref()).await.unwrap();
    // Nobody publishes.
    let seen = of(follower.visible_now().await.unwrap(), "search");
    assert_eq!(seen, applier.low());
    let search = ElasticsearchSearch::new(&indices.url).unwrap();
    let page = Page { after: None, limit: 1 };
    let hits =
        search.search_products("default", "", &ProductFilter::default(), ProductSort::Created, &page).await;
    let of_type = |kind| fixture.history.events.iter().filter(|e| e.event_type == kind).count();
    let sold = of_type("product.created") - of_type("product.discontinued");
    assert_eq!(hits.unwrap().total, sold as u64);
    assert_eq!(of(follower.visible().await.unwrap(), "search"), seen);
}

/// Makes the indices that the shop has and that aren't there.
async fn migrate(indices: &Indices, log: Arc<dyn LogReader>) {
    let store = indices.store_over(log.clone());
    store.prepare(&infra::shop::projections().documents, log.store()).await.unwrap();
}

/// Twice is as good as once. Without their indices, a store with events has nothing to show before they are full again.
// proves: QRY-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrating_makes_the_indices_once() {
    let (fixture, indices) = (fixture().await, Indices::default());
    let empty = tempfile::tempdir().unwrap();
    let empty = Arc::new(SqliteLog::open(empty.path(), SHARDS).unwrap());
    for _ in 0..2 {
        migrate(&indices, empty.clone()).await;
        let all = indices.all().await;
        assert_eq!(all.len(), 3, "{all:?}");
        for alias in ["products", "orders", "events"] {
            assert_eq!(indices.behind(alias).await.len(), 1);
        }
    }
    assert!(elasticsearch::health(&indices.url).await.unwrap().is_ready());
    for name in indices.all().await {
        indices.ask(Method::DELETE, &format!("/{name}"), None).await;
    }
    for _ in 0..2 {
        migrate(&indices, fixture.log.clone()).await;
        assert_eq!(indices.all().await.len(), 3);
        assert!(indices.behind("products").await.is_empty());
    }
}
