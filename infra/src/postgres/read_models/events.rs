//! Events, for auditors.

use std::sync::Arc;

use domain::event::RecordedEvent;
use domain::position::{Position, Seen, Shard};
use domain::stream::StreamId;
use projections::read_models::EventFilter;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use super::columns::number;
use super::sql::Query;

pub(super) fn stream(stream: &StreamId, after: u64, limit: usize) -> Query {
    let mut query = Query::of_tenant(include_str!("select_event.sql"), stream.tenant());
    query.and_text("stream_type", stream.kind());
    query.and_text("stream_id", stream.id());
    let after = query.value(int(after));
    query.and(&format!("event_version > {after}"));
    query.ordered("event_version", limit);
    query
}

/// Shard by shard, so that every shard's own bound, and an index, can be used.
pub(super) async fn matching(
    conn: &mut PgConnection,
    tenant: &str,
    filter: &EventFilter,
    from: Position,
    heads: &Seen,
    limit: usize,
) -> sqlx::Result<Vec<Arc<RecordedEvent>>> {
    let mut found = Vec::new();
    for head in heads.positions().filter(|head| head.shard >= from.shard) {
        let first = if head.shard == from.shard { from.n } else { 0 };
        if found.len() >= limit || head.n < first || head.n == 0 {
            continue;
        }
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
        query.and_is("shard", i64::from(head.shard.0));
        let (first, last) = (query.value(int(first)), query.value(int(head.n)));
        query.and(&format!("n BETWEEN {first} AND {last}"));
        query.ordered("n", limit - found.len());
        for row in query.rows(conn).await? {
            found.push(event(&row)?);
        }
    }
    Ok(found)
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
