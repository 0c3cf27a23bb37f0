//! Every event with its whole envelope, for auditors.

use std::ops::RangeInclusive;
use std::sync::Arc;

use domain::event::RecordedEvent;
use domain::position::{Position, Shard};
use domain::stream::StreamId;
use domain::upcast::DecodeError;

use crate::engine::events::EventFilter;
use crate::engine::mapping::{int, text};
use crate::engine::model::Projection;
use crate::engine::query::{Condition, Direction, Row, Select, Unreadable, View, all};
use crate::engine::read_models::{ReadError, ReadModels};
use crate::engine::rows::{ColumnKind, Group, Index, RowChange, Table, Value, col};

/// One row per event of every type, also of types that this program doesn't know. The stream's version stands in the
/// guard column `event_version`.
pub static EVENTS: Table = Table {
    name: "events",
    about: "One row per event of the log, whatever its type.",
    key: &[
        col("shard", ColumnKind::Int, "The shard"),
        col("n", ColumnKind::Int, "Place of the event in its shard, dense from 1; the position is shard:n"),
    ],
    groups: &[Group {
        name: "event",
        source: "event",
        columns: &[
            col("event_id", ColumnKind::Uuid, "The event"),
            col("time", ColumnKind::Time, "When it was decided"),
            col("tenant", ColumnKind::Text, "Whose shop it is; `default` where there is only one"),
            col("stream_type", ColumnKind::Text, "Type of the aggregate: order, payment, …"),
            col("stream_id", ColumnKind::Text, "The aggregate's id"),
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
    indexes: &[
        Index {
            name: "events_by_stream",
            on: &["tenant", "stream_type", "stream_id", "event_version"],
            only: None,
        },
        Index { name: "events_by_type", on: &["tenant", "event_type", "shard", "n"], only: None },
        Index { name: "events_by_actor", on: &["tenant", "actor", "shard", "n"], only: None },
        Index { name: "events_by_correlation", on: &["tenant", "correlation_id", "shard", "n"], only: None },
    ],
};

/// The name of the projection.
pub const NAME: &str = "events";

/// The projection `events`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Events;

impl Projection for Events {
    fn name(&self) -> &'static str {
        NAME
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

impl View for Arc<RecordedEvent> {
    const PROJECTION: &'static str = NAME;
    const TABLE: &'static Table = &EVENTS;

    fn of_row(row: &Row) -> Result<Self, Unreadable> {
        Ok(Self::new(RecordedEvent {
            position: Position { shard: Shard(row.number("shard")?), n: row.number("n")? },
            id: row.uuid("event_id")?,
            time: row.time("time")?,
            stream: StreamId::new(row.text("tenant")?, row.text("stream_type")?, row.text("stream_id")?),
            version: row.version("event")?,
            event_type: row.text("event_type")?.to_owned(),
            schema_version: row.number("schema_version")?,
            correlation_id: row.uuid("correlation_id")?,
            causation_id: row.uuid("causation_id")?,
            actor: row.text("actor")?.to_owned(),
            data: row.json_text("data")?.to_owned(),
        }))
    }
}

fn bound(n: u64) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

/// A tenant's events that match, of some positions of a shard, in order.
#[must_use]
pub fn within(
    tenant: &str,
    filter: &EventFilter,
    shard: Shard,
    positions: RangeInclusive<u64>,
    limit: usize,
) -> Select {
    let select = Select::of::<Arc<RecordedEvent>>(tenant)
        .and_some("event_type", filter.event_type.clone().map(Value::Text))
        .and_some("actor", filter.actor.clone().map(Value::Text))
        .and_some("correlation_id", filter.correlation_id.map(Value::Uuid))
        .and(Condition::Is("shard", Value::Int(i64::from(shard.0))))
        .and(Condition::AtLeast("n", bound(*positions.start())))
        .and(Condition::AtMost("n", bound(*positions.end())));
    Select { limit: Some(limit), ..select.by("n", Direction::Ascending) }
}

/// Questions about streams.
pub trait ReadStreams: ReadModels {
    /// A stream's events with versions above `after`, in order.
    ///
    /// # Errors
    /// [`ReadError`].
    fn stream_events(
        &self,
        stream: &StreamId,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Arc<RecordedEvent>>, ReadError>> + Send {
        async move {
            let select = Select::of::<Arc<RecordedEvent>>(stream.tenant())
                .and(Condition::Is("stream_type", text(stream.kind())))
                .and(Condition::Is("stream_id", text(stream.id())))
                .and(Condition::AtLeast("event_version", bound(after.saturating_add(1))));
            all(self, Select { limit: Some(limit), ..select.by("event_version", Direction::Ascending) }).await
        }
    }
}

impl<R: ReadModels + ?Sized> ReadStreams for R {}

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
