//! Leases within one process, for several instances in one test; and faults between a keeper and its leases.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::ports::leases::{Instance, InstanceId, Lease, Leases};
use domain::ports::log::LogError;
use domain::position::Shard;
use tokio::sync::watch;

/// Leases in a map.
pub struct MapLeases {
    rows: Mutex<Vec<Lease>>,
    instances: Mutex<HashMap<InstanceId, (Instance, Instant)>>,
}

impl MapLeases {
    /// Nobody owns any of so many shards.
    #[must_use]
    pub fn new(shards: u16) -> Arc<Self> {
        let row = |n| Lease { shard: Shard(n), owner: None, epoch: 0, beat: 0 };
        Arc::new(Self { rows: Mutex::new((0..shards).map(row).collect()), instances: Mutex::default() })
    }
}

#[async_trait]
impl Leases for MapLeases {
    async fn leases(&self) -> Result<Vec<Lease>, LogError> {
        Ok(self.rows.lock().unwrap().clone())
    }

    async fn replace(&self, seen_beat: u64, next: &Lease) -> Result<Option<Lease>, LogError> {
        let mut rows = self.rows.lock().unwrap();
        let row = &mut rows[usize::from(next.shard.0)];
        if row.beat != seen_beat {
            return Ok(Some(row.clone()));
        }
        *row = Lease { beat: seen_beat + 1, ..next.clone() };
        Ok(None)
    }

    async fn announce(&self, instance: &Instance, ttl: Duration) -> Result<(), LogError> {
        let until = Instant::now() + ttl;
        self.instances.lock().unwrap().insert(instance.id, (instance.clone(), until));
        Ok(())
    }

    async fn withdraw(&self, instance: InstanceId) -> Result<(), LogError> {
        self.instances.lock().unwrap().remove(&instance);
        Ok(())
    }

    async fn instances(&self) -> Result<Vec<Instance>, LogError> {
        let now = Instant::now();
        let instances = self.instances.lock().unwrap();
        Ok(instances
            .values()
            .filter(|(_, until)| *until > now)
            .map(|(instance, _)| instance.clone())
            .collect())
    }
}

/// Leases that can be held up, as for a process that is paused or cut off from them.
pub struct HeldLeases {
    inner: Arc<dyn Leases>,
    held: watch::Sender<bool>,
    panics: AtomicUsize,
}

impl HeldLeases {
    /// Not held up so far.
    #[must_use]
    pub fn new(inner: Arc<dyn Leases>) -> Arc<Self> {
        Arc::new(Self { inner, held: watch::Sender::new(false), panics: AtomicUsize::new(0) })
    }

    /// From now on every call waits, or none any more.
    pub fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// So many of the next looks at the leases meet a fault of the program's own.
    pub fn panic(&self, looks: usize) {
        self.panics.store(looks, Ordering::SeqCst);
    }

    /// How many of them are still to come.
    #[must_use]
    pub fn panics_left(&self) -> usize {
        self.panics.load(Ordering::SeqCst)
    }

    async fn pass(&self) {
        self.held.subscribe().wait_for(|held| !held).await.expect("the sender lives");
    }
}

#[async_trait]
impl Leases for HeldLeases {
    async fn leases(&self) -> Result<Vec<Lease>, LogError> {
        self.pass().await;
        let panics = self.panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(panics.is_err(), "a fault that a test asked for");
        self.inner.leases().await
    }

    async fn replace(&self, seen_beat: u64, next: &Lease) -> Result<Option<Lease>, LogError> {
        self.pass().await;
        self.inner.replace(seen_beat, next).await
    }

    async fn announce(&self, instance: &Instance, ttl: Duration) -> Result<(), LogError> {
        self.pass().await;
        self.inner.announce(instance, ttl).await
    }

    async fn withdraw(&self, instance: InstanceId) -> Result<(), LogError> {
        self.pass().await;
        self.inner.withdraw(instance).await
    }

    async fn instances(&self) -> Result<Vec<Instance>, LogError> {
        self.pass().await;
        self.inner.instances().await
    }
}
