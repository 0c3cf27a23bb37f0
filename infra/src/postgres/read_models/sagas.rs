//! Where sagas stand.

use domain::Timestamp;
use projections::engine::query::{Listed, Page};
use projections::engine::read_models::ReadError;
use projections::engine::sagas::{SagaFilter, SagaRow};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::sql::Query;
use crate::keyset::{Keyset, cut};
use crate::saga_standing::{self, Scope};

const ORDER: &str = "sagas-started";

pub(super) fn query(tenant: &str, filter: &SagaFilter, page: &Page) -> Result<Query, ReadError> {
    let after = Keyset::after(page.after.as_deref(), ORDER)?;
    let after = after.map(|after| Ok::<_, ReadError>((after.created_at()?, after.id))).transpose()?;
    Ok(statement(Scope::of(filter), tenant, filter, after, None, page.limit + 1))
}

pub(super) fn saga(tenant: &str, order: Uuid, overdue: Timestamp, scope: Scope) -> Query {
    let filter = SagaFilter { status: None, reason: None, since: None, overdue };
    statement(scope, tenant, &filter, None, Some(order), 1)
}

fn statement(
    scope: Scope,
    tenant: &str,
    filter: &SagaFilter,
    after: Option<(Timestamp, Uuid)>,
    order: Option<Uuid>,
    limit: usize,
) -> Query {
    // The parameters are those of the statement, in its order.
    let mut query = Query::of_tenant(saga_standing::list(scope), tenant);
    query.value(filter.overdue);
    query.value(filter.status.clone());
    query.value(filter.reason.clone());
    query.value(filter.since);
    query.value(after.map(|(at, _)| at));
    query.value(after.map(|(_, id)| id));
    query.value(order);
    query.value(i64::try_from(limit).unwrap_or(i64::MAX));
    query
}

/// The page of one row more than it may have.
pub(super) fn page(mut items: Vec<SagaRow>, limit: usize) -> Listed<SagaRow> {
    let next = cut(&mut items, limit, ORDER, |s| Keyset::created(s.started_at, s.order_id));
    Listed { items, next }
}

pub(super) fn row(row: &PgRow) -> sqlx::Result<SagaRow> {
    Ok(SagaRow {
        order_id: row.try_get("order_id")?,
        started_at: row.try_get("started")?,
        status: row.try_get("status")?,
        step: row.try_get("step")?,
        waiting_for: row.try_get("waiting_for")?,
        since: row.try_get("since")?,
        reason: row.try_get("reason")?,
        attempts: u32::try_from(row.try_get::<i64, _>("attempts")?).map_err(|source| {
            sqlx::Error::ColumnDecode { index: "attempts".to_owned(), source: source.into() }
        })?,
    })
}
