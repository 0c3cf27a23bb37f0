//! Leases: who proposes a shard's frames for now. A lease gives speed; safety comes from slots alone, so a wrong lease costs a lost
//! frame and never an event.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::ports::log::LogError;
use crate::position::Shard;

/// One running process that can own shards; drawn anew at every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(pub Uuid);

/// A running process and where its peers reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// `host:port` of its HTTP listener.
    pub address: String,
}

/// A shard's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The shard.
    pub shard: Shard,
    /// Who owns it; `None` when nobody ever did, or the last owner released it.
    pub owner: Option<Instance>,
    /// The epoch of the owner's fence as far as it has told; 0 before it did. For diagnosis.
    pub epoch: u64,
    /// Grows with every change of the row. A claimant waits until it stays unchanged for the lease time by its own clock.
    pub beat: u64,
}

/// The rows of owners and the list of running processes.
#[async_trait]
pub trait Leases: Send + Sync + 'static {
    /// Every shard's row, in shard order, by serial reads.
    ///
    /// # Errors
    /// [`LogError`], here and below.
    async fn leases(&self) -> Result<Vec<Lease>, LogError>;

    /// Writes `next` with the beat `seen_beat + 1` when the shard's row still has the beat `seen_beat`. `None` when it was
    /// written, else the row that stands. After an error the outcome is unknown: read again.
    async fn replace(&self, seen_beat: u64, next: &Lease) -> Result<Option<Lease>, LogError>;

    /// Says that a process runs, for the next `ttl`.
    async fn announce(&self, instance: &Instance, ttl: Duration) -> Result<(), LogError>;

    /// Takes the announcement back.
    async fn withdraw(&self, instance: InstanceId) -> Result<(), LogError>;

    /// The processes whose announcements stand.
    async fn instances(&self) -> Result<Vec<Instance>, LogError>;
}
