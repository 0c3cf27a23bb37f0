//! Storage that fails, before or after it did what it was asked, and crashes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::merkle::Hash;
use domain::ports::clock::SystemClock;
use domain::ports::log::StoreInfo;
use domain::position::SyncToken;
use domain::stream::StreamId;
use infra::feed::InProcessFeed;
use projections::engine::applier::Limits;
use projections::engine::model::Projection;
use projections::engine::redrive::redrive;
use projections::engine::runner::{Runner, RunnerConfig, RunnerParts};
use projections::engine::store::{Batch, DeadLetter, Loaded, Redrive, RowStore, StoreError, Visibility};
use rand::RngExt;
use rand::rngs::SmallRng;
use tokio_util::sync::CancellationToken;

use super::poison::{Failure, Poisoned};
use super::{ReadStoreFactory, applier, digests, expected, fixture, random};

/// A store that fails now and then: half of the failures come after the work was done.
struct Faulty {
    inner: Arc<dyn RowStore>,
    rng: Mutex<SmallRng>,
    failing: AtomicBool,
}

#[derive(PartialEq)]
enum Fault {
    None,
    Before,
    After,
}

impl Faulty {
    fn fault(&self) -> Fault {
        if !self.failing.load(Ordering::Relaxed) {
            return Fault::None;
        }
        match self.rng.lock().unwrap().random_range(0..10) {
            0 => Fault::Before,
            1 => Fault::After,
            _ => Fault::None,
        }
    }

    fn error() -> StoreError {
        StoreError::Unavailable("a fault on purpose".to_owned())
    }
}

#[async_trait]
impl RowStore for Faulty {
    async fn prepare(&self, projections: &[Arc<dyn Projection>], log: StoreInfo) -> Result<(), StoreError> {
        self.inner.prepare(projections, log).await
    }

    async fn renew(&self, projection: &Arc<dyn Projection>, found: &Loaded) -> Result<(), StoreError> {
        self.inner.renew(projection, found).await
    }

    async fn load(&self, projection: &'static str) -> Result<Loaded, StoreError> {
        self.inner.load(projection).await
    }

    async fn apply(&self, batch: Batch) -> Result<Visibility, StoreError> {
        let fault = self.fault();
        if fault == Fault::Before {
            return Err(Self::error());
        }
        let applied = self.inner.apply(batch).await?;
        if fault == Fault::After { Err(Self::error()) } else { Ok(applied) }
    }

    async fn publish(&self) -> Result<(), StoreError> {
        let fault = self.fault();
        if fault == Fault::Before {
            return Err(Self::error());
        }
        self.inner.publish().await?;
        if fault == Fault::After { Err(Self::error()) } else { Ok(()) }
    }

    async fn letters(
        &self,
        projection: &'static str,
        stream: &StreamId,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        self.inner.letters(projection, stream, limit).await
    }

    async fn redrive(&self, step: Redrive) -> Result<(), StoreError> {
        self.inner.redrive(step).await
    }

    async fn digest(&self, projection: &Arc<dyn Projection>) -> Result<Hash, StoreError> {
        self.inner.digest(projection).await
    }
}

/// The runner goes on until storage is back, whatever a failure left behind.
// proves: P6, P7
pub async fn failing_storage_loses_and_doubles_nothing(factory: &dyn ReadStoreFactory) {
    let fixture = fixture().await;
    let expected = expected(factory, &fixture).await;
    let store = factory.fresh().await;
    let (rng, failing) = (Mutex::new(random(3)), AtomicBool::new(false));
    let faulty = Arc::new(Faulty { inner: Arc::clone(&store), rng, failing });
    let feed = Arc::new(InProcessFeed::open(fixture.log.clone()).await.unwrap());
    let shutdown = CancellationToken::new();
    let limits = Limits { batch_events: 16, ..Limits::default() };
    let config = RunnerConfig {
        limits,
        publish_every: Duration::from_millis(1),
        max_backoff: Duration::from_millis(5),
        ..RunnerConfig::default()
    };
    let parts = RunnerParts {
        group: "faulty",
        store: faulty.clone(),
        projections: factory.projections(),
        feed,
        log: fixture.log.clone(),
        clock: Arc::new(SystemClock),
        config,
        shutdown: shutdown.clone(),
    };
    let runner = Runner::start(parts).await.unwrap();
    // A store that fails at the start is the starter's matter.
    faulty.failing.store(true, Ordering::Relaxed);
    let mut token = SyncToken::default();
    fixture.history.heads().into_iter().for_each(|head| token.add(head));
    for mark in runner.watermarks() {
        mark.wait_for(&token, crate::shop::SETTLES_WITHIN).await.unwrap();
    }
    shutdown.cancel();
    runner.stopped().await;
    assert_eq!(digests(&store, &factory.projections()).await, expected);
}

/// A crash loses what was applied but not published, not the dead letters; everything is applied and parked again, once.
// proves: P6
pub async fn what_was_not_published_is_applied_again(factory: &dyn ReadStoreFactory) {
    let fixture = fixture().await;
    let expected = expected(factory, &fixture).await;
    let events = &fixture.history.events;
    let of_kind = events.iter().filter(|e| e.stream.kind() == factory.kind() && e.version == 2);
    // Its first event is applied, the second is poison.
    let victim = of_kind.last().unwrap();
    let mut projections = factory.projections();
    let poison = Poisoned::new(Arc::clone(&projections[0]), Failure::Map, [victim.id]);
    projections[0] = poison.clone();
    let mut store = factory.fresh().await;
    for _ in 0..3 {
        let mut crashed = applier(&store, &projections, fixture.log.store()).await;
        crashed.apply(events, fixture.log.as_ref()).await.unwrap();
        drop(crashed);
        store = factory.reopen(store).await;
    }
    let mut last = applier(&store, &projections, fixture.log.store()).await;
    last.apply(events, fixture.log.as_ref()).await.unwrap();
    store.publish().await.unwrap();
    let loaded = store.load(projections[0].name()).await.unwrap();
    let parked = events.iter().filter(|e| e.stream == victim.stream && e.version >= 2).count();
    assert_eq!((loaded.parked, loaded.letters), (vec![(victim.stream.clone(), 2)], parked as u64));
    poison.correct();
    redrive(store.as_ref(), projections[0].as_ref()).await.unwrap();
    assert_eq!(digests(&store, &projections).await, expected);
}
