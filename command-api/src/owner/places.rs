//! Where each shard's owner stands in this process, if it stands here at all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use domain::command::CommandError;
use domain::position::Shard;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::job::Job;

/// A shard that this process owns, from its takeover until its task has ended.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) head: watch::Receiver<u64>,
    pub(super) epoch: u64,
    /// Tells the task to answer what was accepted and end.
    pub(super) release: CancellationToken,
    /// Ends the task where it stands.
    pub(super) give_up: CancellationToken,
    /// Cancelled when the task has ended.
    pub(super) ended: CancellationToken,
}

#[derive(Default)]
struct ShardPlace {
    serving: RwLock<Option<Serving>>,
    /// Held while the shard is taken over.
    taking: tokio::sync::Mutex<()>,
    /// Where peers saw its owner.
    elsewhere: Mutex<Option<String>>,
}

/// The places of all shards, in shard order.
pub(super) struct Places {
    places: Vec<ShardPlace>,
    /// Grows with every owner that ends.
    ended: watch::Sender<u64>,
    /// Told when a caller wants a shard that nobody seems to own.
    pub(super) wanted: Notify,
}

impl Places {
    pub(super) fn new(shards: u16) -> Arc<Self> {
        let places = (0..shards).map(|_| ShardPlace::default()).collect();
        Arc::new(Self { places, ended: watch::Sender::new(0), wanted: Notify::new() })
    }

    /// Every shard.
    pub(super) fn shards(&self) -> impl Iterator<Item = Shard> + use<> {
        let shards = u16::try_from(self.places.len()).unwrap_or(u16::MAX);
        (0..shards).map(Shard)
    }

    fn place(&self, shard: Shard) -> Result<&ShardPlace, CommandError> {
        self.places
            .get(usize::from(shard.0))
            .ok_or_else(|| CommandError::Internal(format!("there is no shard {shard}")))
    }

    /// The shard's owner in this process; also one that is ending.
    pub(super) fn serving(&self, shard: Shard) -> Result<Option<Serving>, CommandError> {
        Ok(read(&self.place(shard)?.serving).clone())
    }

    /// Waits for its turn to take the shard over.
    pub(super) async fn taking(&self, shard: Shard) -> Result<tokio::sync::MutexGuard<'_, ()>, CommandError> {
        Ok(self.place(shard)?.taking.lock().await)
    }

    /// Puts a job into the shard's queue; a job that finds none fails with `absent`, or as overloaded.
    pub(super) fn enqueue(&self, shard: Shard, job: Job, absent: impl FnOnce(Shard) -> CommandError) {
        let place = match self.place(shard) {
            Ok(place) => place,
            Err(error) => return job.fail(error),
        };
        let sent = match &*read(&place.serving) {
            Some(serving) => serving.jobs.try_send(job),
            None => Err(mpsc::error::TrySendError::Closed(job)),
        };
        match sent {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(job)) => job.fail(CommandError::Overloaded),
            Err(mpsc::error::TrySendError::Closed(job)) => job.fail(absent(shard)),
        }
    }

    /// Installs an owner.
    pub(super) fn install(&self, shard: Shard, serving: Serving) {
        if let Ok(place) = self.place(shard) {
            *place.serving.write().unwrap_or_else(PoisonError::into_inner) = Some(serving);
        }
    }

    /// The owner's task is ending: it takes no more jobs.
    pub(super) fn leave(&self, shard: Shard) {
        if let Ok(place) = self.place(shard) {
            place.serving.write().unwrap_or_else(PoisonError::into_inner).take();
        }
        self.ended.send_modify(|n| *n += 1);
    }

    /// Grows with every owner that ends.
    pub(super) fn endings(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }

    /// Where peers saw the shard's owner.
    pub(super) fn elsewhere(&self, shard: Shard) -> Option<String> {
        self.place(shard).ok().and_then(|place| lock(&place.elsewhere).clone())
    }

    /// Remembers where the shard's owner was seen.
    pub(super) fn seen_elsewhere(&self, shard: Shard, address: Option<&str>) {
        if let Ok(place) = self.place(shard) {
            *lock(&place.elsewhere) = address.map(str::to_owned);
        }
    }
}

// Nothing panics while it holds one of these locks.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
