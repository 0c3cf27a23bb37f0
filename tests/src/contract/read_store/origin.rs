//! A store knows which log it was made from, and how much of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::event::RecordedEvent;
use domain::frame::DecidedFrame;
use domain::merkle::Hash;
use domain::ports::log::{EventLog, StoreInfo};
use domain::position::Shard;
use infra::sqlite::log::SqliteLog;
use projections::engine::store::StoreError;
use tempfile::TempDir;
use uuid::Uuid;

use super::{LOG, ReadStoreFactory, SHARDS, applier, digests};
use crate::contract::history::{History, Story};

/// A log, and an older copy of it.
pub struct Copies {
    /// The log that went on.
    pub log: Arc<dyn EventLog>,
    /// What stands in it.
    pub history: History,
    /// The copy, which holds the first half.
    pub older: Arc<dyn EventLog>,
    _dirs: [TempDir; 2],
}

/// Makes both.
pub async fn copies() -> Copies {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    drop(SqliteLog::open(dirs[0].path(), SHARDS).unwrap());
    std::fs::copy(dirs[0].path().join("log.db"), dirs[1].path().join("log.db")).unwrap();
    let [log, older]: [Arc<dyn EventLog>; 2] =
        [0, 1].map(|n| Arc::new(SqliteLog::open(dirs[n].path(), SHARDS).unwrap()) as Arc<dyn EventLog>);
    let mut history = History::new(Arc::clone(&log));
    history.shop(&[Story::Delivered, Story::Declined, Story::Paid, Story::OutOfStock]).await;
    for frame in &history.frames[..history.frames.len() / 2] {
        let slot = frame.header.slot;
        let bytes = log.read_slot(slot).await.unwrap().unwrap();
        let view = domain::frame::FrameView::parse(&bytes).unwrap();
        let (header, hash) = (view.header.clone(), view.hash);
        let copied = domain::frame::EncodedFrame { header, hash, bytes: bytes.clone() };
        older.propose(Arc::new(copied)).await.unwrap();
    }
    Copies { log, history, older, _dirs: dirs }
}

/// All events of a log.
pub async fn events(log: &dyn EventLog) -> Vec<Arc<RecordedEvent>> {
    let mut events = Vec::new();
    for shard in (0..SHARDS).map(Shard) {
        for bytes in log.read_frames(shard, 1, usize::MAX, usize::MAX).await.unwrap() {
            events.extend(DecidedFrame::decode(&bytes).unwrap().events);
        }
    }
    events
}

/// What an empty store shows of a log.
async fn shown(factory: &dyn ReadStoreFactory, log: &dyn EventLog) -> BTreeMap<&'static str, Hash> {
    let (store, projections) = (factory.fresh().await, factory.projections());
    let mut applier = applier(&store, &projections, log.store()).await;
    applier.apply(&events(log).await, log).await.unwrap();
    digests(&store, &projections).await
}

/// A store goes with one log: which one is told by name, and nothing is changed.
// proves: EVT-7
pub async fn a_store_of_another_log_is_refused_by_name(factory: &dyn ReadStoreFactory) {
    let other = StoreInfo { id: Uuid::from_u128(8), ..LOG };
    let (store, projections) = (factory.fresh().await, factory.projections());
    store.prepare(&projections, LOG).await.unwrap();
    let store = factory.reopen(store).await;
    let refused = store.prepare(&projections, other).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::OtherLog { theirs, ours, .. } if (theirs, ours) == (LOG.id, other.id))
    );
    let text = refused.to_string();
    assert!([LOG.id, other.id].iter().all(|id| text.contains(&id.to_string())), "{text}");
    let store = factory.reopen(store).await;
    store.prepare(&projections, LOG).await.unwrap();
}

/// What was made from this log stays, however far the log is ahead.
// proves: EVT-7, P6
pub async fn what_was_made_from_the_log_stays(factory: &dyn ReadStoreFactory) {
    let copies = copies().await;
    let (store, projections) = (factory.fresh().await, factory.projections());
    let mut before = applier(&store, &projections, copies.log.store()).await;
    before.apply(&copies.history.events[..20], copies.log.as_ref()).await.unwrap();
    store.publish().await.unwrap();
    let low = before.low();
    drop(before);
    let store = factory.reopen(store).await;
    let mut after = applier(&store, &projections, copies.log.store()).await;
    after.reconcile(copies.log.as_ref()).await.unwrap();
    assert_eq!(after.low(), low);
}

/// The log was put back from an older copy: what it doesn't hold any more is not shown, and what it decides from now on is.
// proves: EVT-7, EVT-3
pub async fn a_store_ahead_of_its_log_is_built_anew(factory: &dyn ReadStoreFactory) {
    let copies = copies().await;
    let (store, projections) = (factory.fresh().await, factory.projections());
    let mut before = applier(&store, &projections, copies.log.store()).await;
    before.apply(&copies.history.events, copies.log.as_ref()).await.unwrap();
    store.publish().await.unwrap();
    drop(before);

    let store = factory.reopen(store).await;
    let older = copies.older.as_ref();
    let mut after = applier(&store, &projections, older.store()).await;
    after.reconcile(older).await.unwrap();
    assert!(after.low().positions().all(|position| position.n == 0), "{:?}", after.low());
    after.apply(&events(older).await, older).await.unwrap();
    assert_eq!(digests(&store, &projections).await, shown(factory, older).await);
    History::going_on(Arc::clone(&copies.older)).await.shop(&[Story::Delivered]).await;
    after.apply(&events(older).await, older).await.unwrap();
    assert_eq!(digests(&store, &projections).await, shown(factory, older).await);
}

/// The copy went on, beyond where the store has come to: its positions are those of other events now.
// proves: EVT-7, EVT-3
pub async fn a_store_of_frames_that_the_log_has_otherwise_is_built_anew(factory: &dyn ReadStoreFactory) {
    let copies = copies().await;
    let (store, projections) = (factory.fresh().await, factory.projections());
    let mut before = applier(&store, &projections, copies.log.store()).await;
    before.apply(&copies.history.events, copies.log.as_ref()).await.unwrap();
    store.publish().await.unwrap();
    drop(before);

    let older = copies.older.as_ref();
    let mut history = History::going_on(Arc::clone(&copies.older)).await;
    let heads = copies.history.heads();
    while history.heads().iter().zip(&heads).any(|(now, lost)| now.n <= lost.n) {
        history.shop(&[Story::Paid]).await;
    }
    let store = factory.reopen(store).await;
    let mut after = applier(&store, &projections, older.store()).await;
    after.reconcile(older).await.unwrap();
    after.apply(&events(older).await, older).await.unwrap();
    assert_eq!(digests(&store, &projections).await, shown(factory, older).await);
}
