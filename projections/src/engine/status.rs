//! What operators see of projections.

use domain::position::Position;
use serde::Serialize;

/// Whether a projection is at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It applies events as they come.
    Running,
    /// Storage fails; it retries for ever.
    Retrying {
        /// The last failure.
        reason: String,
    },
    /// The live rows are of another version than this program's, which is still being filled beside them, or was replaced.
    Waiting {
        /// Which versions.
        reason: String,
    },
    /// Too many streams were parked in a short time: something is wrong with the projection, not with the events. It starts
    /// again with the process.
    Stopped {
        /// What happened.
        reason: String,
    },
}

/// A projection's status.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProjectionStatus {
    /// Its name.
    pub name: &'static str,
    /// The version of its mapping.
    pub version: u32,
    /// Whether it is at work.
    #[serde(flatten)]
    pub state: State,
    /// The last position applied of every shard, in shard order.
    pub seen: Vec<Position>,
    /// How many events the log's heads are ahead. Below zero, it is the projection that is ahead, of so many events that the log
    /// doesn't hold: a fault.
    pub lag_events: i64,
    /// The age of the oldest event received and not yet applied, in seconds; 0 when there is none.
    pub lag_seconds: f64,
    /// How many streams are parked.
    pub parked_streams: u64,
    /// How many events are parked.
    pub parked_events: u64,
}
