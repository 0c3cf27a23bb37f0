//! Rebuilding indices beside the live ones, while a runner writes and readers search.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use infra::elasticsearch::rebuild::{rebuild, rollback};
use infra::rebuild::{Difference, RebuildError, RebuildReport};
use projections::catalogue::documents::Search;
use projections::engine::model::Projection;
use projections::engine::store::RowStore as _;
use reqwest::Method;
use serde_json::json;

use super::elasticsearch_indices::Running;

async fn rebuilt(running: &Running, names: &[&str]) -> Vec<RebuildReport> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let (url, letters) = (&running.indices.url, running.indices.letters());
    rebuild(
        url,
        letters,
        &infra::shop::projections().documents,
        &names,
        running.fixture.log.clone(),
        &mut |_| {},
    )
    .await
    .unwrap()
}

/// Everything is equal, the aliases move, the runner goes on.
// proves: EVT-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_replaces_the_indices_while_all_goes_on() {
    let mut running = Running::start().await;
    let before = running.all_products().await.unwrap();
    let old: Vec<String> = running.indices.all().await;
    let reports = rebuilt(&running, &[]).await;
    let names: Vec<_> = reports.iter().map(|report| report.projection).collect();
    assert_eq!(names, ["search", "search-orders", "search-events"]);
    let events = running.fixture.history.events.len() as u64;
    for report in &reports {
        assert!(report.equal() && report.differing_rows == 0, "{report:?}");
        assert_eq!((report.events, report.parked), (events, 0));
    }
    assert_eq!(reports[2].rows, events);
    assert_eq!(running.all_products().await.unwrap(), before);
    for alias in ["products", "orders", "events"] {
        let behind = running.indices.behind(alias).await;
        assert!(behind.len() == 1 && !old.contains(&behind[0]), "{behind:?}");
    }
    // The runner finds the new ones by itself.
    running.product(5).await;
    running.caught_up().await;
    assert_eq!(running.all_products().await.unwrap().total, before.total + 1);
    // One generation before is kept, not two.
    rebuilt(&running, &["search"]).await;
    let products = running.indices.name("products");
    let all = running.indices.all().await;
    assert_eq!(all.iter().filter(|name| name.starts_with(&products)).count(), 2, "{all:?}");
}

/// A document that somebody changed is found, and the rebuilt index is as the log says.
// proves: EVT-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tampered_document_is_found_and_put_right() {
    let running = Running::start().await;
    let search: Arc<dyn Projection> = Arc::new(Search);
    let digest = running.store.digest(&search).await.unwrap();
    let hits = running.all_products().await.unwrap();
    let victim = &hits.page.items[0];
    let path = format!("{}/_doc/{}%2Fdefault", running.indices.name("products"), victim.id);
    let (_, mut document) = running.indices.ask(Method::GET, &format!("/{path}"), None).await;
    document["_source"]["price_amount"] = json!(1);
    let forge = format!("/{path}?version={}&version_type=external_gte&refresh=true", victim.version);
    let (status, answer) = running.indices.ask(Method::PUT, &forge, Some(document["_source"].take())).await;
    assert_eq!(status, 200, "{answer}");
    let reports = rebuilt(&running, &["search"]).await;
    assert!(!reports[0].equal());
    assert_eq!((reports[0].differing_rows, reports[0].only_live, reports[0].only_built), (1, 0, 0));
    assert_eq!(reports[0].examples[0].key, format!("default/{}", victim.id));
    let changed = Difference::Changed { columns: vec!["price_amount".to_owned()] };
    assert_eq!(reports[0].examples[0].difference, changed);
    assert_eq!((reports[0].digest_after, running.all_products().await.unwrap()), (digest, hits));
}

/// Back to the index before, which first catches up, and forth again.
// proves: EVT-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_shows_the_index_before_up_to_date() {
    let mut running = Running::start().await;
    let (url, log) = (running.indices.url.clone(), running.fixture.log.clone());
    let letters = running.indices.letters();
    let none =
        rollback(&url, letters.clone(), &infra::shop::projections().documents, "search", log.clone()).await;
    assert!(matches!(none, Err(RebuildError::NoPrevious(_))), "{none:?}");
    let first = running.indices.behind("products").await;
    rebuilt(&running, &["search"]).await;
    let second = running.indices.behind("products").await;
    running.product(5).await;
    running.caught_up().await;
    let now = running.all_products().await.unwrap();
    rollback(&url, letters.clone(), &infra::shop::projections().documents, "search", log.clone())
        .await
        .unwrap();
    assert_eq!(running.indices.behind("products").await, first);
    assert_eq!(running.all_products().await.unwrap(), now);
    running.product(6).await;
    running.caught_up().await;
    rollback(&url, letters, &infra::shop::projections().documents, "search", log).await.unwrap();
    assert_eq!(running.indices.behind("products").await, second);
    assert_eq!(running.all_products().await.unwrap().total, now.total + 1);
}

/// What only the old program couldn't apply is parked no more; what was parked comes back with the old index.
// proves: EVT-3, EVT-4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_are_those_of_the_index_that_is_live() {
    let running = Running::start().await;
    let name = Search.name();
    // As if an earlier program had failed on a product's last event.
    let event = running.fixture.history.events.iter().rfind(|e| e.stream.kind() == "product").unwrap();
    let letter = projections::engine::store::DeadLetter {
        event: Arc::clone(event),
        reason: "on purpose".to_owned(),
        parked_at: event.time,
        follows: false,
    };
    let letters = running.indices.letters();
    letters.park(name, vec![letter]).await.unwrap();
    let reports = rebuilt(&running, &[name]).await;
    assert_eq!(reports[0].parked, 0);
    assert_eq!(letters.parked(name).await.unwrap(), (vec![], 0));
    // The index before has its checkpoint below the event that its letter stood for.
    let (url, log) = (&running.indices.url, running.fixture.log.clone());
    let before = running.all_products().await.unwrap();
    rollback(url, letters, &infra::shop::projections().documents, name, log).await.unwrap();
    assert_eq!(running.all_products().await.unwrap(), before);
}
