//! Where the sagas of orders stand, for operators. The rows are those of the sagas' own projection.

use domain::Timestamp;
use domain::event::serialize_wire_time;
use serde::Serialize;
use uuid::Uuid;

/// The name of the projection.
pub const NAME: &str = "sagas";

/// Where a saga stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SagaRow {
    /// The order.
    pub order_id: Uuid,
    /// `stuck`, `running`, `waiting`, `compensating` or `ended`.
    pub status: String,
    /// The step that it is at.
    pub step: Option<String>,
    /// What it waits for that may take as long as it takes.
    pub waiting_for: Option<String>,
    /// Since when it has this status.
    #[serde(serialize_with = "serialize_wire_time")]
    pub since: Timestamp,
    /// Why it is stuck; else why its order isn't fulfilled.
    pub reason: Option<String>,
    /// How many times the step was asked for.
    pub attempts: u32,
    /// When the saga began: the list's order.
    #[serde(skip)]
    pub started_at: Timestamp,
}

/// Which sagas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SagaFilter {
    /// Only with this status, as on the wire.
    pub status: Option<String>,
    /// Only with this reason, as on the wire.
    pub reason: Option<String>,
    /// Only those that have their status since then at the latest.
    pub since: Option<Timestamp>,
    /// A saga whose work was due before is stuck.
    pub overdue: Timestamp,
}
