//! The parts of the index of events: another one takes over when the newest is large, behind the same aliases.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::position::Seen;
use infra::elasticsearch::ElasticsearchCheckpoints;
use infra::elasticsearch::rebuild::{rebuild, rollback};
use projections::audit::documents::SearchEvents;
use projections::engine::follower::Checkpoints as _;
use projections::engine::model::Projection;
use projections::engine::store::{Redrive, RowStore};
use reqwest::Method;
use serde_json::json;
use tests::contract::read_store::{Fixture, SHARDS, applier, fixture};
use tests::elasticsearch::Indices;

use super::elasticsearch_indices::{Running, eventually};

/// Every document behind the alias, by id; none may come twice.
async fn documents(indices: &Indices) -> BTreeSet<String> {
    indices.ask(Method::POST, &format!("/{}/_refresh", indices.name("events")), None).await;
    let body = json!({"size": 10_000, "_source": false, "query": {"match_all": {}}});
    let path = format!("/{}/_search", indices.name("events"));
    let (status, answer) = indices.ask(Method::POST, &path, Some(body)).await;
    assert_eq!(status, 200, "{answer}");
    let hits = answer["hits"]["hits"].as_array().unwrap();
    let ids: BTreeSet<String> = hits.iter().map(|hit| hit["_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), hits.len(), "a document in two parts");
    ids
}

fn events_of(fixture: &Fixture) -> BTreeSet<String> {
    fixture.history.events.iter().map(|event| event.id.to_string()).collect()
}

/// Applies the history in some steps, with a refresh after each.
async fn apply(store: &Arc<dyn RowStore>, fixture: &Fixture, steps: usize) {
    let events: Arc<dyn Projection> = Arc::new(SearchEvents);
    let all = &fixture.history.events;
    for chunk in all.chunks(all.len().div_ceil(steps)) {
        // As another process that goes on.
        let mut applier = applier(store, std::slice::from_ref(&events), fixture.log.store()).await;
        applier.apply(chunk, fixture.log.as_ref()).await.unwrap();
        store.publish().await.unwrap();
    }
}

/// Parts take over, each with the checkpoints; readers, followers and digests see one index.
// proves: QRY-2, P6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_index_of_events_goes_on_in_another_part() {
    let (fixture, indices) = (fixture().await, Indices::default());
    let store: Arc<dyn RowStore> = indices.store_with_large_parts(1);
    apply(&store, &fixture, 4).await;
    let parts = indices.behind("events").await;
    assert_eq!(parts.len(), 5, "one for each step, and the next: {parts:?}");
    assert_eq!(documents(&indices).await, events_of(&fixture));
    let follower =
        ElasticsearchCheckpoints::new(&indices.url, &infra::shop::projections().documents, SHARDS).unwrap();
    let visible = follower.visible_now().await.unwrap();
    let heads = Seen::up_to(&fixture.history.heads());
    assert_eq!(visible.iter().find(|one| one.projection == "search-events").unwrap().mark.seen, heads);

    // Another process finds the checkpoints, and the same documents as in an index of one part.
    let again: Arc<dyn RowStore> = indices.store();
    let events: Arc<dyn Projection> = Arc::new(SearchEvents);
    again.prepare(std::slice::from_ref(&events), fixture.log.store()).await.unwrap();
    let loaded = again.load("search-events").await.unwrap();
    assert_eq!(loaded.seen, heads);
    assert_eq!(again.peek("search-events").await.unwrap().seen, heads);
    let one_part = Indices::default();
    let other: Arc<dyn RowStore> = one_part.store();
    apply(&other, &fixture, 1).await;
    assert_eq!(one_part.behind("events").await.len(), 1);
    assert_eq!(again.digest(&events).await.unwrap(), other.digest(&events).await.unwrap());
}

/// What was written before a part was closed, but not yet covered by a checkpoint, is not written to the next one again; also not by
/// a process that doesn't know of the next one yet.
// proves: P6, P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_is_never_in_two_parts() {
    let (fixture, indices) = (fixture().await, Indices::default());
    let slow: Arc<dyn RowStore> = indices.store();
    let events: Arc<dyn Projection> = Arc::new(SearchEvents);
    slow.prepare(std::slice::from_ref(&events), fixture.log.store()).await.unwrap();
    slow.load("search-events").await.unwrap();
    let changes: Vec<_> =
        fixture.history.events.iter().flat_map(|event| events.map(event).unwrap()).collect();
    let write = async |store: &Arc<dyn RowStore>| {
        let changes = changes[..changes.len() / 2].to_vec();
        store.redrive(Redrive { projection: "search-events", letters: vec![], changes }).await
    };
    // Documents without a checkpoint, as a crash leaves them.
    write(&slow).await.unwrap();
    let quick: Arc<dyn RowStore> = indices.store_with_large_parts(1);
    quick.prepare(std::slice::from_ref(&events), fixture.log.store()).await.unwrap();
    quick.load("search-events").await.unwrap();
    quick.publish().await.unwrap();
    assert_eq!(indices.behind("events").await.len(), 2);
    write(&quick).await.unwrap();
    assert!(write(&slow).await.is_err(), "its part is closed");
    slow.load("search-events").await.unwrap();
    write(&slow).await.unwrap();
    apply(&slow, &fixture, 2).await;
    assert_eq!(documents(&indices).await, events_of(&fixture));
}

/// Somebody who dies half way leaves nothing that another process doesn't end.
// proves: P6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_takeover_that_stopped_half_way_is_ended_by_another_process() {
    let (fixture, indices) = (fixture().await, Indices::default());
    let store: Arc<dyn RowStore> = indices.store();
    let events: Arc<dyn Projection> = Arc::new(SearchEvents);
    store.prepare(std::slice::from_ref(&events), fixture.log.store()).await.unwrap();
    let first = indices.behind("events").await.remove(0);
    let (_, made) = indices.ask(Method::GET, &format!("/{first}"), None).await;
    let mut mappings = made[&first]["mappings"].clone();
    mappings["_meta"] = json!({});
    let body = json!({"mappings": mappings, "aliases": {format!("{first}-next"): {}}});
    let next = format!("{first}-000002");
    let (status, answer) = indices.ask(Method::PUT, &format!("/{next}"), Some(body)).await;
    assert_eq!(status, 200, "{answer}");
    indices.ask(Method::PUT, &format!("/{first}/_block/write"), None).await;
    apply(&store, &fixture, 2).await;
    assert_eq!(indices.behind("events").await, [first, next]);
    assert_eq!(documents(&indices).await, events_of(&fixture));
}

/// A rebuild, the way back, and removal take all parts.
// proves: EVT-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generations_of_several_parts_are_replaced_and_come_back() {
    let mut running = Running::start_with(|indices| indices.store_with_large_parts(1)).await;
    running.product(1).await;
    running.caught_up().await;
    running.store.publish().await.unwrap();
    let old = running.indices.behind("events").await;
    assert!(old.len() > 1, "{old:?}");
    let (url, log) = (running.indices.url.clone(), running.fixture.log.clone());
    let name = ["search-events".to_owned()];
    let reports = rebuild(
        &url,
        running.indices.letters(),
        &infra::shop::projections().documents,
        &name,
        log.clone(),
        &mut |_| {},
    )
    .await
    .unwrap();
    assert!(reports[0].equal(), "{reports:?}");
    assert!(running.indices.behind("events").await.iter().all(|part| !old.contains(part)));
    running.product(2).await;
    running.caught_up().await;
    rollback(
        &url,
        running.indices.letters(),
        &infra::shop::projections().documents,
        "search-events",
        log.clone(),
    )
    .await
    .unwrap();
    running.product(3).await;
    running.caught_up().await;
    let back = running.indices.behind("events").await;
    assert!(old.iter().all(|part| back.contains(part)), "{back:?} {old:?}");
    assert_eq!(documents(&running.indices).await, events_of(&running.fixture));
    for _ in 0..2 {
        rebuild(
            &url,
            running.indices.letters(),
            &infra::shop::projections().documents,
            &name,
            log.clone(),
            &mut |_| {},
        )
        .await
        .unwrap();
    }
    let all = running.indices.all().await;
    assert!(old.iter().all(|part| !all.contains(part)), "{all:?}");
    assert_eq!(documents(&running.indices).await, events_of(&running.fixture));
}

/// An index that lost a part is lost as a whole, and built anew from the log.
// proves: P6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_part_is_noticed() {
    for lost in [0, 1] {
        let mut running = Running::start_with(|indices| indices.store_with_large_parts(1)).await;
        running.product(1).await;
        running.caught_up().await;
        running.store.publish().await.unwrap();
        let parts = running.indices.behind("events").await;
        running.indices.ask(Method::DELETE, &format!("/{}", parts[lost]), None).await;
        let expected = events_of(&running.fixture);
        eventually("all events are there again", async || {
            let behind = running.indices.behind("events").await;
            let renewed = !behind.is_empty() && behind.iter().all(|part| !parts.contains(part));
            (renewed && documents(&running.indices).await == expected).then_some(())
        })
        .await;
    }
}
