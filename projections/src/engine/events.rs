//! What the read models are asked of the log's events, whatever their types.

use std::sync::Arc;

use domain::event::RecordedEvent;
use domain::position::Position;
use uuid::Uuid;

/// Which events; all given conditions hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Exactly this dotted type.
    pub event_type: Option<String>,
    /// Exactly this actor.
    pub actor: Option<String>,
    /// Exactly this correlation id.
    pub correlation_id: Option<Uuid>,
}

/// A page of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventPage {
    /// The events; fewer than asked for, even none, when looking for more took too long.
    pub events: Vec<Arc<RecordedEvent>>,
    /// Where the list goes on; `None` at its end.
    pub next: Option<Position>,
}
