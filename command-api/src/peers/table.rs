//! Who owns which shard, as last seen: an aid, since whoever is asked in vain says so.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use domain::ports::leases::Leases;
use domain::position::Shard;
use tokio::time::Instant;

/// The longest that a look at the leases may take.
const LOOK: Duration = Duration::from_secs(2);

pub(super) struct Table {
    leases: Arc<dyn Leases>,
    owners: RwLock<Vec<Option<String>>>,
    /// When the leases were last looked at; held while somebody looks.
    looked: tokio::sync::Mutex<Option<Instant>>,
}

impl Table {
    pub(super) fn new(leases: Arc<dyn Leases>, shards: u16) -> Self {
        Self {
            leases,
            owners: RwLock::new(vec![None; usize::from(shards)]),
            looked: tokio::sync::Mutex::new(None),
        }
    }

    /// Where the shard's owner is, as far as is known.
    pub(super) fn owner(&self, shard: Shard) -> Option<String> {
        let owners = self.owners.read().unwrap_or_else(PoisonError::into_inner);
        owners.get(usize::from(shard.0)).cloned().flatten()
    }

    /// Somebody says that the shard's owner is there.
    pub(super) fn hint(&self, shard: Shard, address: String) {
        let mut owners = self.owners.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(owner) = owners.get_mut(usize::from(shard.0)) {
            *owner = Some(address);
        }
    }

    /// Looks again when what is known is older than `age`; waits when somebody is looking.
    pub(super) async fn refresh(&self, age: Duration) {
        let mut looked = self.looked.lock().await;
        self.look(&mut looked, age).await;
    }

    /// Looks again when what is known is older than `age` and nobody is looking.
    pub(super) async fn refresh_unless_busy(&self, age: Duration) {
        if let Ok(mut looked) = self.looked.try_lock() {
            self.look(&mut looked, age).await;
        }
    }

    async fn look(&self, looked: &mut Option<Instant>, age: Duration) {
        if looked.is_some_and(|at| at.elapsed() < age) {
            return;
        }
        match tokio::time::timeout(LOOK, self.leases.leases()).await {
            Ok(Ok(leases)) => {
                let mut owners = self.owners.write().unwrap_or_else(PoisonError::into_inner);
                for lease in leases {
                    if let Some(owner) = owners.get_mut(usize::from(lease.shard.0)) {
                        *owner = lease.owner.map(|instance| instance.address);
                    }
                }
            }
            // What was known stays known: owners that moved say so.
            Ok(Err(error)) => tracing::warn!(%error, "the leases can't be read"),
            Err(_) => tracing::warn!(within = ?LOOK, "the leases could not be read in time"),
        }
        *looked = Some(Instant::now());
    }
}
