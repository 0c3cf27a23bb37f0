//! Who owns which shard: every process that can own shards runs a [`LeaseKeeper`]. It renews the leases of its own shards, claims
//! those that nobody owns or whose owner has fallen silent, and hands shards over until every live process has its fair share.
//!
//! A lease gives speed, never safety: whatever the rows say, the slots of the log decide (P4). So a keeper that can't reach the rows
//! keeps its shards, and one that was paused finds out either here or at the next slot that another process owns them.
//!
//! | file | what |
//! | --- | --- |
//! | `keeper` | the task: looks at the rows, carries out what the plan says |
//! | `plan` | what to do with every shard; pure |
//! | `shares` | how many shards every live process should own; pure |
//! | `sight` | how long every row has stayed unchanged, by this process's own clock |

mod keeper;
mod plan;
mod shares;
mod sight;

use std::time::Duration;

pub use keeper::LeaseKeeper;

/// The times of leases. The same in every process of a store.
#[derive(Debug, Clone)]
pub struct LeaseConfig {
    /// Owners renew their rows, and processes their announcements, this often; looks at the rows come twice as often.
    pub beat: Duration,
    /// A row that stays unchanged for so long may be claimed.
    pub lease: Duration,
}

impl Default for LeaseConfig {
    fn default() -> Self {
        Self { beat: Duration::from_secs(1), lease: Duration::from_secs(4) }
    }
}
