//! The read models' questions on PostgreSQL.
//!
//! Every answer is of one snapshot: of one statement, or of one read-only transaction. The statements read the views that analysts
//! read, so a swap of generations shows them the new rows at once.

mod events;
mod rows;
mod sagas;
mod sql;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::Timestamp;
use domain::position::{Position, Seen, SyncToken};
use domain::stream::StreamId;
use projections::engine::events::{EventFilter, EventPage};
use projections::engine::query::{Listed, Page, Row as SelectedRow, Select};
use projections::engine::read_models::{ReadError, ReadModels};
use projections::engine::sagas::{self as processes, SagaFilter, SagaRow};
use projections::engine::watermark::Watermark;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use tokio::time::Instant;
use uuid::Uuid;

use self::sql::Query;
use super::{Database, checkpoints};
use crate::event_scan::{EventScan, ScanLimits};
use crate::read_side::Marks;
use crate::read_sql::{Dialect, Statement};
use crate::saga_standing::Scope;

/// A transaction that reads, and sees the same all the time.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The questions, answered from the database.
#[derive(Clone)]
pub struct PostgresReadModels {
    database: Database,
    marks: Marks,
    scans: ScanLimits,
}

impl PostgresReadModels {
    /// Read models over projections that run here or elsewhere: `watermarks` are those of their runners or of a
    /// [`Follower`](projections::engine::follower::Follower). A model without one is never seen.
    #[must_use]
    pub fn new(database: Database, watermarks: impl IntoIterator<Item = Watermark>) -> Self {
        Self { database, marks: Marks::new(watermarks), scans: ScanLimits::default() }
    }

    /// The same with other bounds of what a page of events may cost.
    #[must_use]
    pub fn with_scans(self, scans: ScanLimits) -> Self {
        Self { scans, ..self }
    }

    /// How PostgreSQL goes about a question (`EXPLAIN`), for those who check that indexes serve it.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn plan(&self, select: &Select) -> Result<Vec<String>, ReadError> {
        let query = Query::of(Statement::select(select, Dialect::Postgres).explained());
        self.rows(select.projection, query, |row| row.try_get(0)).await
    }

    /// The rows of a question that is one statement, in one snapshot with the positions that they hold where that matters.
    async fn rows<T>(
        &self,
        model: &'static str,
        query: Query,
        read: impl Fn(&PgRow) -> sqlx::Result<T>,
    ) -> Result<Vec<T>, ReadError> {
        let Some(token) = self.marks.needs() else {
            let mut conn = self.database.reads().acquire().await.map_err(unavailable)?;
            return answer(&mut conn, model, query, read).await;
        };
        loop {
            let mut both = self.database.reads().begin_with(SNAPSHOT).await.map_err(unavailable)?;
            let mark = checkpoints::mark(&mut both, model).await.map_err(unavailable)?;
            if mark.seen.covers(&token) {
                let answer = answer(&mut both, model, query, read).await;
                both.rollback().await.map_err(unavailable)?;
                return answer;
            }
            both.rollback().await.map_err(unavailable)?;
            self.marks.fallen(model, &mark).await?;
        }
    }

    async fn first<T>(
        &self,
        model: &'static str,
        query: Query,
        read: impl Fn(&PgRow) -> sqlx::Result<T>,
    ) -> Result<Option<T>, ReadError> {
        Ok(self.rows(model, query, read).await?.pop())
    }
}

async fn answer<T>(
    conn: &mut PgConnection,
    model: &'static str,
    query: Query,
    read: impl Fn(&PgRow) -> sqlx::Result<T>,
) -> Result<Vec<T>, ReadError> {
    let rows = query.rows(&mut *conn).await;
    if rows.as_ref().is_err_and(shape_changed) {
        // A rebuild gave a view other types: what this connection has prepared fits no more, but would be tried for ever.
        sqlx::Connection::clear_cached_statements(conn).await.map_err(unavailable)?;
    }
    let rows = rows.map_err(|error| match lacks_columns(&error) {
        true => ReadError::NotLive { model },
        false => unavailable(error),
    })?;
    rows.iter().map(read).collect::<sqlx::Result<_>>().map_err(unavailable)
}

/// `undefined_column`, `undefined_table`: the live rows are of another version of the program, which hasn't them yet or any more.
fn lacks_columns(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == "42703" || code == "42P01")
}

fn unavailable(error: sqlx::Error) -> ReadError {
    ReadError::Unavailable(error.to_string())
}

/// `cached plan must not change result type`
fn shape_changed(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "0A000")
}

#[async_trait]
impl ReadModels for PostgresReadModels {
    async fn wait_for(
        &self,
        projection: &'static str,
        token: &SyncToken,
        wait: Duration,
    ) -> Result<(), ReadError> {
        self.marks.wait_for(projection, token, wait).await
    }

    fn after(self: Arc<Self>, token: &SyncToken, until: Instant) -> Arc<dyn ReadModels> {
        Arc::new(Self { marks: self.marks.after(token, until), ..Self::clone(&self) })
    }

    fn seen(&self, projection: &'static str) -> Seen {
        self.marks.seen(projection)
    }

    async fn is_parked(&self, projection: &'static str, stream: &StreamId) -> Result<bool, ReadError> {
        let mut query = Query::of_tenant(include_str!("select_parked.sql"), stream.tenant());
        query.text(projection);
        query.and_text("stream_type", stream.kind());
        query.and_text("stream_id", stream.id());
        Ok(self.first(projection, query, |_| Ok(())).await?.is_some())
    }

    async fn select(&self, select: &Select) -> Result<Vec<SelectedRow>, ReadError> {
        let query = Query::of(Statement::select(select, Dialect::Postgres));
        self.rows(select.projection, query, |found| rows::row(found, select)).await
    }

    async fn saga(
        &self,
        tenant: &str,
        order: Uuid,
        overdue: Timestamp,
    ) -> Result<Option<SagaRow>, ReadError> {
        // One that is open, or whose start is, first: the other look finds those that have ended.
        for scope in [Scope::Open, Scope::All] {
            let found =
                self.first(processes::NAME, sagas::saga(tenant, order, overdue, scope), sagas::row).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    async fn sagas(
        &self,
        tenant: &str,
        filter: &SagaFilter,
        page: &Page,
    ) -> Result<Listed<SagaRow>, ReadError> {
        let rows = self.rows(processes::NAME, sagas::query(tenant, filter, page)?, sagas::row).await?;
        Ok(sagas::page(rows, page.limit))
    }

    async fn events(
        &self,
        tenant: &str,
        filter: &EventFilter,
        from: Position,
        heads: &Seen,
        limit: usize,
    ) -> Result<EventPage, ReadError> {
        let mut tx = self.database.reads().begin_with(SNAPSHOT).await.map_err(unavailable)?;
        let scan = EventScan::new(from, heads, limit, self.scans);
        let found = events::matching(&mut tx, tenant, filter, scan).await.map_err(unavailable)?;
        tx.rollback().await.map_err(unavailable)?;
        found.ok_or(ReadError::Overloaded)
    }
}
