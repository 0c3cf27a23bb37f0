//! Shard owners: the write path.
//!
//! Every shard has one owner: a task with a bounded queue and a frame loop. The loop runs pure decisions against tentative
//! state, proposes a frame for the next slot, and starts the next frame when this one is known decided; meanwhile the queue
//! fills, so batches adapt to the load without timers. Nothing here knows a database: it all stands above
//! [`domain::ports::log::EventLog`] and serves every backend.
//!
//! | file | what |
//! | --- | --- |
//! | `owners` | the gateway: finds the shard, waits for the answer; acquires and releases shards |
//! | `places` | which shards are owned here |
//! | `owning` | the task of one owner, from takeover to end |
//! | `takeover` | P4: finds the tail, puts the fence, reads what derived rows don't have yet |
//! | `frame_loop` | the loop itself: what it waits for and what it does then |
//! | `building` | a frame's contents: decisions in turn against tentative state |
//! | `proposal` | P3: one slot, identical bytes, until its outcome is known |
//! | `waiting` | commands that wait aside while their aggregate or command id is loaded |
//! | `streams` | aggregates in memory |
//! | `overlay` | decided frames whose derived rows are not acknowledged yet (P5) |
//! | `partition` | how much the backend's partition of the next slot holds |
//! | `snapshots` | snapshots on their way to storage |
//! | `figures` | what owners hold and do, in numbers |
//! | `loading` | an aggregate from snapshot and derived rows |

mod building;
mod config;
mod figures;
mod frame_loop;
mod job;
mod loading;
mod overlay;
mod owners;
mod owning;
mod partition;
mod places;
mod proposal;
mod snapshots;
mod streams;
mod takeover;
mod turn;
mod waiting;

pub use config::{OnDeposed, OwnerConfig};
pub use figures::ShardFigures;
pub use owners::Owners;
pub(crate) use owners::{by_shard, in_order, shard_of};

use std::sync::Arc;

use domain::aggregate::Registry;
use domain::ports::clock::Clock;
use domain::ports::feed::FanOut;
use domain::ports::log::{EventLog, StoreInfo};
use domain::position::Shard;
use tokio::sync::Semaphore;

/// What every owner of a process shares.
struct OwnerShared {
    log: Arc<dyn EventLog>,
    registry: Arc<Registry>,
    fan_out: Arc<dyn FanOut>,
    clock: Arc<dyn Clock>,
    config: OwnerConfig,
    store: StoreInfo,
    /// See [`OwnerConfig::derive_at_once`].
    deriving: Arc<Semaphore>,
    /// See [`OwnerConfig::frames_at_once`].
    proposing: Arc<Semaphore>,
    /// Of every shard, in order.
    figures: Vec<Arc<ShardFigures>>,
}

impl OwnerShared {
    /// The figures of a shard's owner.
    fn figures(&self, shard: Shard) -> Arc<ShardFigures> {
        Arc::clone(&self.figures[usize::from(shard.0)])
    }
}
