//! Events, for auditors.

use std::sync::Arc;

use domain::event::RecordedEvent;
use domain::position::{Position, Shard};
use domain::stream::StreamId;
use projections::read_models::{EventFilter, EventPage};
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use super::columns::number;
use super::sql::Query;
use crate::event_scan::{EventScan, Window};

pub(super) fn stream(stream: &StreamId, after: u64, limit: usize) -> Query {
    let mut query = Query::of_tenant(include_str!("select_event.sql"), stream.tenant());
    query.and_text("stream_type", stream.kind());
    query.and_text("stream_id", stream.id());
    let after = query.value(int(after));
    query.and(&format!("event_version > {after}"));
    query.ordered("event_version", limit);
    query
}

/// Window by window, so that a page costs a bounded amount. `None` when even the first one took too long.
pub(super) async fn matching(
    conn: &mut PgConnection,
    tenant: &str,
    filter: &EventFilter,
    mut scan: EventScan,
) -> sqlx::Result<Option<EventPage>> {
    sqlx::query(WINDOW_TIME).execute(&mut *conn).await?;
    while let Some((window, limit)) = scan.window() {
        match within(tenant, filter, window, limit).rows(conn).await {
            Ok(rows) => scan.took(window, rows.iter().map(event).collect::<sqlx::Result<_>>()?),
            // The transaction is over with it, and so is the page.
            Err(error) if took_too_long(&error) => {
                return Ok(scan.gave_up(window).then(|| scan.page()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Some(scan.page()))
}

/// How long one window may take.
const WINDOW_TIME: &str = "SET LOCAL statement_timeout = '3s'";

/// `canceling statement due to statement timeout`
fn took_too_long(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "57014")
}

/// The events of a window that match.
pub(super) fn within(tenant: &str, filter: &EventFilter, window: Window, limit: usize) -> Query {
    let mut query = Query::of_tenant(include_str!("select_event.sql"), tenant);
    if let Some(event_type) = &filter.event_type {
        query.and_text("event_type", event_type);
    }
    if let Some(actor) = &filter.actor {
        query.and_text("actor", actor);
    }
    if let Some(id) = filter.correlation_id {
        query.and_is("correlation_id", id);
    }
    query.and_is("shard", i64::from(window.shard));
    let (first, last) = (query.value(int(window.first)), query.value(int(window.last)));
    query.and(&format!("n BETWEEN {first} AND {last}"));
    query.ordered("n", limit);
    query
}

fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) fn event(row: &PgRow) -> sqlx::Result<Arc<RecordedEvent>> {
    let stream = StreamId::new(
        row.try_get::<&str, _>("tenant")?,
        row.try_get::<&str, _>("stream_type")?,
        row.try_get::<&str, _>("stream_id")?,
    );
    Ok(Arc::new(RecordedEvent {
        position: Position { shard: Shard(number(row, "shard")?), n: number(row, "n")? },
        id: row.try_get("event_id")?,
        time: row.try_get("time")?,
        stream,
        version: number(row, "event_version")?,
        event_type: row.try_get("event_type")?,
        schema_version: number(row, "schema_version")?,
        correlation_id: row.try_get("correlation_id")?,
        causation_id: row.try_get("causation_id")?,
        actor: row.try_get("actor")?,
        data: row.try_get("data")?,
    }))
}
