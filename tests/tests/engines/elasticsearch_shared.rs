//! Indices that several processes write and follow: loss, replacement, and looking without disturbing.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use domain::position::{Seen, Shard};
use infra::elasticsearch::{ElasticsearchCheckpoints, ElasticsearchStore, rebuild::rebuild};
use projections::catalogue::documents::Search;
use projections::engine::follower::{Checkpoints as _, Visible};
use projections::engine::mark::Generation;
use projections::engine::model::Projection;
use projections::engine::store::{Batch, Loaded, Move, Part, RowStore, StoreError};
use reqwest::Method;
use serde_json::json;
use tests::contract::read_store::{FRAME, LOG, SHARDS, applier, fixture};
use tests::elasticsearch::Indices;
use tests::server::eventually;

/// Moves a checkpoint of the products' index, without any document.
async fn move_one(store: &ElasticsearchStore, shard: u16, from: u64, to: u64) {
    let moves = vec![Move { shard: Shard(shard), from, to, frame: FRAME }];
    let part = Part { projection: "search", moves, changes: Vec::new(), letters: Vec::new() };
    store.apply(Batch { parts: vec![part] }).await.unwrap();
}

async fn prepared(indices: &Indices, projections: &[Arc<dyn Projection>]) -> Arc<ElasticsearchStore> {
    let store = indices.store();
    store.prepare(projections, LOG).await.unwrap();
    store
}

fn of(all: &[Visible], name: &str) -> Seen {
    all.iter().find(|one| one.projection == name).unwrap().mark.seen.clone()
}

/// Two processes with different shards: they fill one new index, which is searched when it holds the shards of both.
// proves: P6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_index_is_filled_by_all_that_write_to_it() {
    let indices = Indices::default();
    let search: Vec<Arc<dyn Projection>> = vec![Arc::new(Search)];
    let (one, other) = (prepared(&indices, &search).await, prepared(&indices, &search).await);
    move_one(&one, 0, 0, 7).await;
    move_one(&other, 1, 0, 9).await;
    let stored = one.load("search").await.unwrap();
    assert_eq!(other.load("search").await.unwrap(), stored);

    for name in indices.all().await {
        indices.ask(Method::DELETE, &format!("/{name}"), None).await;
    }
    let (a, b) = tokio::join!(one.load("search"), other.load("search"));
    for (store, loaded) in [(&one, a), (&other, b)] {
        let loaded = match loaded {
            // Whoever comes while the other one is making it comes again.
            Err(StoreError::Unavailable(_)) => {
                eventually("the index to be made", tests::shop::SETTLES_WITHIN, || async {
                    let again = store.load("search").await;
                    (!matches!(again, Err(StoreError::Unavailable(_)))).then_some(again)
                })
                .await
            }
            loaded => loaded,
        };
        assert_eq!(loaded.unwrap().seen, Seen::none(SHARDS));
    }
    assert_eq!(indices.all().await.len(), 1, "one index, whoever fills it");
    assert!(matches!(one.peek("search").await, Err(StoreError::Unavailable(_))));

    move_one(&one, 0, 0, 7).await;
    one.publish().await.unwrap();
    assert!(indices.behind("products").await.is_empty(), "the other one's shards are missing");
    // One that starts now goes on with it.
    let third = prepared(&indices, &search).await;
    move_one(&third, 1, 0, 9).await;
    third.publish().await.unwrap();
    assert_eq!(indices.behind("products").await, indices.all().await);
    for store in [&one, &other, &third] {
        let again = store.load("search").await.unwrap();
        assert_eq!(again.seen, stored.seen);
        assert_ne!(again.generation, stored.generation, "it is another making");
        store.publish().await.unwrap();
    }
    assert_eq!(indices.behind("products").await, indices.all().await);
}

/// Nobody wrote to the index when it was lost, so nobody remembers what it held: the log does.
// proves: P6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_was_lost_while_nobody_ran_is_shown_when_it_is_whole() {
    let (fixture, indices) = (fixture().await, Indices::default());
    let search: Arc<dyn Projection> = Arc::new(Search);
    let store = indices.store_over(fixture.log.clone());
    let rows: Arc<dyn RowStore> = store.clone();
    // Whoever starts at the same time goes on with the same one.
    let others = [(); 2].map(|()| indices.store_over(fixture.log.clone()));
    let only = std::slice::from_ref(&search);
    let log = fixture.log.store();
    let (mut applier, one, two) =
        tokio::join!(applier(&rows, only, log), others[0].prepare(only, log), others[1].prepare(only, log));
    one.and(two).unwrap();
    assert_eq!(indices.all().await.len(), 1);
    let (last, before) = fixture.history.events.split_last().unwrap();
    applier.apply(before, fixture.log.as_ref()).await.unwrap();
    store.publish().await.unwrap();
    assert!(indices.behind("products").await.is_empty(), "the last event is missing");
    assert!(matches!(store.peek("search").await, Err(StoreError::Unavailable(_))));
    applier.apply(std::slice::from_ref(last), fixture.log.as_ref()).await.unwrap();
    store.publish().await.unwrap();
    assert_eq!(indices.behind("products").await, indices.all().await);
    assert_eq!(store.peek("search").await.unwrap().seen, applier.low());
}

/// The checkpoints of the index that is live are told, also to one who looked while it was being replaced.
// proves: QRY-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_looks_during_a_swap_goes_on_with_the_new_index() {
    let (fixture, indices) = (fixture().await, Indices::default());
    let store = indices.store();
    // Nothing of that log has come here yet.
    store.prepare(&infra::shop::projections().documents, fixture.log.store()).await.unwrap();
    let follower =
        ElasticsearchCheckpoints::new(&indices.url, &infra::shop::projections().documents, SHARDS).unwrap();
    let live = indices.behind("products").await.remove(0);
    let (writes, held) = (format!("{live}-writes"), format!("{live}-held-99999999999"));
    let swap = |from: &str, to: &str| {
        let remove = json!({"remove": {"index": live, "alias": from}});
        let body = json!({"actions": [remove, {"add": {"index": live, "alias": to}}]});
        let indices = &indices;
        async move { assert_eq!(indices.ask(Method::POST, "/_aliases", Some(body)).await.0, 200) }
    };
    swap(&writes, &held).await;
    let seen = of(&follower.visible_now().await.unwrap(), "search");
    assert_eq!(seen, Seen::none(SHARDS));
    swap(&held, &writes).await;
    rebuild(
        &indices.url,
        indices.letters(),
        &infra::shop::projections().documents,
        &["search".to_owned()],
        fixture.log.clone(),
        &mut |_| {},
    )
    .await
    .unwrap();
    assert_ne!(indices.behind("products").await, std::slice::from_ref(&live));
    let now = store.load("search").await.unwrap().seen;
    assert_ne!(now, seen, "the rebuild has come to the log's heads");
    assert_eq!(of(&follower.visible_now().await.unwrap(), "search"), now);

    // One index that is missing doesn't hide the others.
    let events = indices.behind("events").await.remove(0);
    indices.ask(Method::DELETE, &format!("/{events}"), None).await;
    let all = follower.visible().await.unwrap();
    let names: Vec<&str> = all.iter().map(|one| one.projection.as_str()).collect();
    assert_eq!(names, ["search", "search-orders"]);
}

/// Who only looks makes nothing and mends nothing.
// proves: AUD-5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peeking_leaves_everything_as_it_is() {
    let indices = Indices::default();
    let nothing = Loaded {
        generation: Generation::none(),
        seen: Seen::none(0),
        foreign: None,
        parked: Vec::new(),
        letters: 0,
        marks: Vec::new(),
    };
    assert_eq!(indices.store().peek("search").await.unwrap(), nothing);
    assert!(indices.all().await.is_empty());
    let store = prepared(&indices, &infra::shop::projections().documents).await;
    move_one(&store, 1, 0, 3).await;
    let loaded = store.load("search").await.unwrap();
    assert_eq!(indices.store().peek("search").await.unwrap(), loaded, "nothing was prepared");
    for name in indices.behind("products").await {
        indices.ask(Method::DELETE, &format!("/{name}"), None).await;
    }
    assert_eq!(store.peek("search").await.unwrap(), nothing);
    assert_eq!(indices.all().await.len(), 2, "the other two");
}
