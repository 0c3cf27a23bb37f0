//! Every event with its whole envelope, for auditors.

use domain::event::RecordedEvent;
use domain::upcast::DecodeError;

use crate::engine::mapping::{col, int, text};
use crate::engine::model::Projection;
use crate::engine::rows::{ColumnKind, Group, RowChange, Table, Value};

/// One row per event of every type, also of types that this program doesn't know. The stream's version stands in the
/// guard column `event_version`.
pub static EVENTS: Table = Table {
    name: "events",
    key: &[col("shard", ColumnKind::Int), col("n", ColumnKind::Int)],
    groups: &[Group {
        name: "event",
        columns: &[
            col("event_id", ColumnKind::Uuid),
            col("time", ColumnKind::Time),
            col("tenant", ColumnKind::Text),
            col("stream_type", ColumnKind::Text),
            col("stream_id", ColumnKind::Text),
            col("event_type", ColumnKind::Text),
            col("schema_version", ColumnKind::Int),
            col("correlation_id", ColumnKind::Uuid),
            col("causation_id", ColumnKind::Uuid),
            col("actor", ColumnKind::Text),
            col("data", ColumnKind::Json),
        ],
    }],
};

/// The projection `events`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Events;

impl Projection for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        const { &[&EVENTS] }
    }

    fn map(&self, event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
        Ok(vec![RowChange {
            table: &EVENTS,
            key: vec![Value::Int(i64::from(event.position.shard.0)), int(event, event.position.n)?],
            group: "event",
            version: event.version,
            set: vec![
                ("event_id", Value::Uuid(event.id)),
                ("time", Value::Time(event.time)),
                ("tenant", text(event.stream.tenant())),
                ("stream_type", text(event.stream.kind())),
                ("stream_id", text(event.stream.id())),
                ("event_type", text(event.event_type.as_str())),
                ("schema_version", Value::Int(i64::from(event.schema_version))),
                ("correlation_id", Value::Uuid(event.correlation_id)),
                ("causation_id", Value::Uuid(event.causation_id)),
                ("actor", text(event.actor.as_str())),
                ("data", Value::Json(event.data.clone())),
            ],
        }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{ID, set, stored};

    #[test]
    fn every_event_is_a_row_whatever_it_is() {
        // proves: EVT-1
        let event = stored("novel", 4, "novel.begun", 3, r#"{"a": 1}"#);
        let rows = Events.map(&event).unwrap();
        assert_eq!(rows[0].key, [Value::Int(3), Value::Int(44)]);
        assert_eq!(rows[0].version, 4);
        assert_eq!(set(&rows[0], "event_type"), Some(&text("novel.begun")));
        assert_eq!(set(&rows[0], "correlation_id"), Some(&Value::Uuid(ID)));
        assert_eq!(set(&rows[0], "data"), Some(&Value::Json(r#"{"a": 1}"#.into())));
        let columns: Vec<_> = EVENTS.groups[0].columns.iter().map(|column| column.name).collect();
        assert_eq!(rows[0].set.iter().map(|(name, _)| *name).collect::<Vec<_>>(), columns);
    }
}
