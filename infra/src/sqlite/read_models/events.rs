//! Events, for auditors.

use std::sync::Arc;

use domain::event::RecordedEvent;
use domain::position::{Position, Shard};
use domain::stream::StreamId;
use projections::engine::rows::Value;
use projections::read_models::{EventFilter, EventPage};
use rusqlite::{Connection, Row};

use super::sql::Query;
use crate::event_scan::{EventScan, Window};
use crate::sqlite::read_store::columns::{time, uuid};

pub(super) fn stream(
    conn: &Connection,
    stream: &StreamId,
    after: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Arc<RecordedEvent>>> {
    let mut query = Query::of_tenant(include_str!("select_event.sql"), stream.tenant());
    query.and("stream_type = ?", [Value::Text(stream.kind().to_owned())]);
    query.and("stream_id = ?", [Value::Text(stream.id().to_owned())]);
    query.and("event_version > ?", [int(after)]);
    query.ordered("event_version", limit);
    query.rows(conn, event)
}

/// Window by window, so that a page costs a bounded amount.
pub(super) fn matching(
    conn: &Connection,
    tenant: &str,
    filter: &EventFilter,
    mut scan: EventScan,
) -> rusqlite::Result<EventPage> {
    while let Some((window, limit)) = scan.window() {
        scan.took(window, within(tenant, filter, window, limit).rows(conn, event)?);
    }
    Ok(scan.page())
}

/// The events of a window that match.
pub(super) fn within(tenant: &str, filter: &EventFilter, window: Window, limit: usize) -> Query {
    let mut query = Query::of_tenant(include_str!("select_event.sql"), tenant);
    query.and_some("event_type = ?", filter.event_type.clone().map(Value::Text));
    query.and_some("actor = ?", filter.actor.clone().map(Value::Text));
    query.and_some("correlation_id = ?", filter.correlation_id.map(Value::Uuid));
    query.and("shard = ?", [Value::Int(i64::from(window.shard))]);
    query.and("n BETWEEN ? AND ?", [int(window.first), int(window.last)]);
    query.ordered("n", limit);
    query
}

fn int(n: u64) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

fn event(row: &Row<'_>) -> rusqlite::Result<Arc<RecordedEvent>> {
    let text = |index: usize| row.get_ref(index).and_then(|v| Ok(v.as_str()?));
    Ok(Arc::new(RecordedEvent {
        position: Position { shard: Shard(row.get(0)?), n: row.get(1)? },
        id: uuid(row, 2)?,
        time: time(row, 3)?,
        stream: StreamId::new(text(4)?, text(5)?, text(6)?),
        version: row.get(7)?,
        event_type: row.get(8)?,
        schema_version: row.get(9)?,
        correlation_id: uuid(row, 10)?,
        causation_id: uuid(row, 11)?,
        actor: row.get(12)?,
        data: row.get(13)?,
    }))
}
