//! Where sagas stand.

use domain::Timestamp;
use projections::engine::query::{Listed, Page};
use projections::engine::read_models::ReadError;
use projections::engine::sagas::{SagaFilter, SagaRow};
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use crate::keyset::{Keyset, cut};
use crate::saga_standing::{self, Scope};
use crate::sqlite::read_store::columns::{time, uuid};

const ORDER: &str = "sagas-started";

pub(super) struct List {
    tenant: String,
    filter: SagaFilter,
    after: Option<Keyset>,
    limit: usize,
}

pub(super) fn query(tenant: &str, filter: &SagaFilter, page: &Page) -> Result<List, ReadError> {
    let after = Keyset::after(page.after.as_deref(), ORDER)?;
    Ok(List { tenant: tenant.to_owned(), filter: filter.clone(), after, limit: page.limit })
}

pub(super) fn list(conn: &Connection, list: &List) -> rusqlite::Result<Listed<SagaRow>> {
    let scope = Scope::of(&list.filter);
    let mut items = rows(conn, scope, &list.tenant, &list.filter, list.after.as_ref(), None, list.limit + 1)?;
    let next = cut(&mut items, list.limit, ORDER, |s| Keyset::created(s.started_at, s.order_id));
    Ok(Listed { items, next })
}

pub(super) fn saga(
    conn: &Connection,
    tenant: &str,
    order: Uuid,
    overdue: Timestamp,
) -> rusqlite::Result<Option<SagaRow>> {
    let filter = SagaFilter { status: None, reason: None, since: None, overdue };
    // One that is open, or whose start is, first: the other look finds those that have ended.
    for scope in [Scope::Open, Scope::All] {
        if let Some(found) = rows(conn, scope, tenant, &filter, None, Some(order), 1)?.pop() {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn rows(
    conn: &Connection,
    scope: Scope,
    tenant: &str,
    filter: &SagaFilter,
    after: Option<&Keyset>,
    order: Option<Uuid>,
    limit: usize,
) -> rusqlite::Result<Vec<SagaRow>> {
    let mut statement = conn.prepare_cached(&saga_standing::list(scope).replace('$', "?"))?;
    let rows = statement.query_map(
        params![
            tenant,
            filter.overdue.timestamp_micros(),
            filter.status,
            filter.reason,
            filter.since.map(|at| at.timestamp_micros()),
            after.map(|after| after.created),
            after.map(|after| *after.id.as_bytes()),
            order.map(|order| *order.as_bytes()),
            i64::try_from(limit).unwrap_or(i64::MAX),
        ],
        row,
    )?;
    rows.collect()
}

fn row(row: &Row<'_>) -> rusqlite::Result<SagaRow> {
    Ok(SagaRow {
        order_id: uuid(row, 0)?,
        started_at: time(row, 1)?,
        status: row.get(2)?,
        step: row.get(3)?,
        waiting_for: row.get(4)?,
        since: time(row, 5)?,
        reason: row.get(6)?,
        attempts: row.get(7)?,
    })
}
