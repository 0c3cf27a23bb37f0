//! Every event as a document, for auditors. An event never changes, so its document has version 1 for ever.

use domain::event::RecordedEvent;
use domain::upcast::DecodeError;

use crate::engine::index::{Form, SearchIndex};
use crate::engine::mapping::{TENANT, int, text};
use crate::engine::model::Projection;
use crate::engine::rows::{ColumnKind, Group, RowChange, Table, Value, col};

/// One document per event of every type, also of types that this program doesn't know. Personal fields are ciphertext.
pub static SEARCH_EVENTS: Table = Table {
    name: "search_events",
    about: "One document per event of the log, whatever its type.",
    key: &[col("event_id", ColumnKind::Uuid, "The event")],
    groups: &[Group {
        name: "event",
        source: "event",
        columns: &[
            col("shard", ColumnKind::Int, "The shard"),
            col(
                "n",
                ColumnKind::Int,
                "Place of the event in its shard, dense from 1; the position is shard:n",
            ),
            col("time", ColumnKind::Time, "When it was decided"),
            TENANT,
            col("stream_type", ColumnKind::Text, "Type of the aggregate: order, payment, …"),
            col("stream_id", ColumnKind::Text, "The aggregate's id"),
            col("stream_version", ColumnKind::Int, "Version of the event in its stream, from 1"),
            col("event_type", ColumnKind::Text, "Dotted name: order.placed, …"),
            col("schema_version", ColumnKind::Int, "Version of the data's form"),
            col("correlation_id", ColumnKind::Uuid, "What it belongs to: the request that began it all"),
            col("causation_id", ColumnKind::Uuid, "The command that caused it"),
            col("actor", ColumnKind::Text, "Who caused it"),
            col(
                "data",
                ColumnKind::Json,
                "The event's own data, byte for byte as in the log; personal fields are ciphertext",
            ),
        ],
    }],
    indexes: &[],
};

/// For auditors. The data is found by its words, whatever they are.
pub static INDEX: SearchIndex = SearchIndex {
    only_grows: true,
    forms: &[("schema_version", Form::Short), ("data", Form::Prose)],
    ..SearchIndex::for_analysts("events", "event", NAME, &SEARCH_EVENTS)
};

/// The name of the projection.
pub const NAME: &str = "search-events";

/// The projection `search-events`.
#[derive(Debug, Clone, Copy, Default)]
pub struct SearchEvents;

impl Projection for SearchEvents {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        const { &[&SEARCH_EVENTS] }
    }

    fn index(&self) -> Option<&'static SearchIndex> {
        Some(&INDEX)
    }

    fn map(&self, event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
        Ok(vec![RowChange {
            table: &SEARCH_EVENTS,
            key: vec![Value::Uuid(event.id)],
            group: "event",
            version: 1,
            set: vec![
                ("shard", Value::Int(i64::from(event.position.shard.0))),
                ("n", int(event, event.position.n)?),
                ("time", Value::Time(event.time)),
                ("tenant", text(event.stream.tenant())),
                ("stream_type", text(event.stream.kind())),
                ("stream_id", text(event.stream.id())),
                ("stream_version", int(event, event.version)?),
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
    use crate::engine::testing::{set, stored, text as t};

    #[test]
    fn every_event_is_a_whole_document() {
        // proves: EVT-1
        let event = stored("novel", 4, "novel.begun", 3, r#"{"a": 1}"#);
        let rows = SearchEvents.map(&event).unwrap();
        assert_eq!((rows[0].key.as_slice(), rows[0].version), ([Value::Uuid(event.id)].as_slice(), 1));
        assert_eq!(set(&rows[0], "event_type"), Some(&t("novel.begun")));
        assert_eq!(set(&rows[0], "stream_version"), Some(&Value::Int(4)));
        // Whole, so that a store needn't read what it had before.
        let columns: Vec<_> = SEARCH_EVENTS.groups[0].columns.iter().map(|column| column.name).collect();
        assert_eq!(rows[0].set.iter().map(|(name, _)| *name).collect::<Vec<_>>(), columns);
    }
}
