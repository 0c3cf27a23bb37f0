//! The rows of the work queue.
//!
//! Work is opened by one event and closed by another, often of streams in different shards, so either may be applied first:
//! the row has two groups of columns, `opened` and `closed`, and is open while the first is there and the second isn't.

use domain::event::RecordedEvent;
use domain::upcast::DecodeError;
use projections::engine::mapping::TENANT;
use projections::engine::rows::{ColumnKind, Group, Index, RowChange, Table, Value, col};

use super::work::WorkChange;

/// The work queue.
pub static SAGA_WORK: Table = Table {
    name: "saga_work",
    about: "One row per thing that a saga has, or had, to do: open while opened_version is above 0 and closed_version is 0.",
    key: &[TENANT, col("id", ColumnKind::Text, "Name of the work, unique in its tenant")],
    groups: &[
        Group {
            name: "opened",
            source: "opening event",
            columns: &[
                col("saga_id", ColumnKind::Uuid, "The saga: the id of its order"),
                col("lane", ColumnKind::Text, "commands, payments, carrier"),
                col("item", ColumnKind::Json, "What is to be done"),
                col("due_at", ColumnKind::Time, "When; null means at once"),
                col("opened_at", ColumnKind::Time, "Since when"),
            ],
        },
        Group {
            name: "closed",
            source: "closing event",
            columns: &[col("closed_at", ColumnKind::Time, "When it was done")],
        },
    ],
    indexes: &[
        Index {
            name: "saga_work_turn",
            on: &["lane", "opened_at", "tenant", "id"],
            only: Some("opened_version > 0 AND closed_version = 0"),
        },
        Index {
            name: "saga_work_of_saga",
            on: &["tenant", "saga_id"],
            only: Some("opened_version > 0 AND closed_version = 0"),
        },
        Index {
            name: "saga_work_age",
            on: &["(coalesce(due_at, opened_at))"],
            only: Some("opened_version > 0 AND closed_version = 0"),
        },
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
