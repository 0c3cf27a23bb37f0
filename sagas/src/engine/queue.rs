//! The rows of the work queue.
//!
//! Work is opened by one event and closed by another, often of streams in different shards, so either may be applied first:
//! the row has two groups of columns, `opened` and `closed`, and is open while the first is there and the second isn't.

use domain::event::RecordedEvent;
use domain::upcast::DecodeError;
use projections::engine::rows::{Column, ColumnKind, Group, RowChange, Table, Value};

use super::work::WorkChange;

const fn column(name: &'static str, kind: ColumnKind) -> Column {
    Column { name, kind }
}

/// The work queue.
pub static SAGA_WORK: Table = Table {
    name: "saga_work",
    key: &[column("tenant", ColumnKind::Text), column("id", ColumnKind::Text)],
    groups: &[
        Group {
            name: "opened",
            columns: &[
                column("saga_id", ColumnKind::Uuid),
                // A `Lane`.
                column("lane", ColumnKind::Text),
                // A `WorkItem`.
                column("item", ColumnKind::Json),
                // Null: at once.
                column("due_at", ColumnKind::Time),
                column("opened_at", ColumnKind::Time),
            ],
        },
        Group { name: "closed", columns: &[column("closed_at", ColumnKind::Time)] },
    ],
};

/// The row's change that an event's change of the work queue is.
///
/// # Errors
/// The work has no JSON form.
pub fn row(event: &RecordedEvent, change: WorkChange) -> Result<RowChange, DecodeError> {
    let (id, group, set) = match change {
        WorkChange::Opened { item, due_at } => {
            let json = serde_json::to_string(&item).map_err(|e| DecodeError::shape(&event.event_type, &e))?;
            let set = vec![
                ("saga_id", Value::Uuid(item.saga_id)),
                ("lane", Value::Text(item.lane.as_str().to_owned())),
                ("item", Value::Json(json)),
                ("due_at", due_at.map_or(Value::Null, Value::Time)),
                ("opened_at", Value::Time(event.time)),
            ];
            (item.id, "opened", set)
        }
        WorkChange::Closed { id } => (id, "closed", vec![("closed_at", Value::Time(event.time))]),
    };
    let key = vec![Value::Text(event.stream.tenant().to_owned()), Value::Text(id)];
    Ok(RowChange { table: &SAGA_WORK, key, group, version: event.version, set })
}
