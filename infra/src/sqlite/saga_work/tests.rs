//! What health asks is answered from an index, however many sagas there ever were.

use domain::ports::log::StoreInfo;
use projections::engine::store::RowStore as _;
use sagas::projection::SagaProjection;

use super::*;

// proves: OPS-3, SEC-10
#[tokio::test]
async fn stuck_sagas_are_found_without_looking_at_every_saga() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteReadStore::open(dir.path()).unwrap();
    let log = StoreInfo { id: uuid::Uuid::from_u128(7), shards: 1 };
    store.prepare(&[Arc::new(SagaProjection)], log).await.unwrap();
    let plan = store.read(|conn| {
        let explain = format!("EXPLAIN QUERY PLAN {}", STUCK.replace('$', "?"));
        let mut explain = conn.prepare(&explain)?;
        let steps = explain.query_map([0, 20], |row| row.get::<_, String>("detail"))?;
        steps.collect::<rusqlite::Result<Vec<String>>>()
    });
    let plan = plan.await.unwrap();
    let partial = ["sagas_unattended", "sagas_needs", "saga_work_age"];
    let whole = |step: &&String| {
        let scans = step.starts_with("SCAN") && *step != "SCAN stuck";
        scans && !partial.iter().any(|index| step.contains(&format!("USING INDEX {index}")))
    };
    assert_eq!(plan.iter().find(whole), None, "{plan:?}");
    for index in partial {
        assert!(plan.iter().any(|step| step.contains(index)), "{index}: {plan:?}");
    }
}

/// The worker pages through a backlog without sorting it.
// proves: SEC-10
#[tokio::test]
async fn a_page_of_work_is_read_in_the_order_of_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteReadStore::open(dir.path()).unwrap();
    let log = StoreInfo { id: uuid::Uuid::from_u128(7), shards: 1 };
    store.prepare(&[Arc::new(SagaProjection)], log).await.unwrap();
    let plan = store.read(|conn| {
        let explain = format!("EXPLAIN QUERY PLAN {}", include_str!("select_due.sql"));
        let mut explain = conn.prepare(&explain)?;
        let page = params!["commands", 0, 0, "", "", 10];
        let steps = explain.query_map(page, |row| row.get::<_, String>("detail"))?;
        steps.collect::<rusqlite::Result<Vec<String>>>()
    });
    let plan = plan.await.unwrap();
    assert_eq!(plan.len(), 1, "{plan:?}");
    assert!(plan[0].contains("saga_work_turn (lane=? AND (opened_at,tenant,id)>(?,?,?))"), "{plan:?}");
}
