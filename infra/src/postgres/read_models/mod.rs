//! The read models' questions on PostgreSQL, with the search beside.
//!
//! Every answer is of one snapshot: of one statement, or of one read-only transaction. The statements read the views that analysts
//! read, so a swap of generations shows them the new rows at once.

mod columns;
mod events;
mod orders;
mod parts;
mod products;
mod sagas;
mod sql;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::Timestamp;
use domain::event::RecordedEvent;
use domain::position::{Position, Seen, SyncToken};
use domain::stream::StreamId;
use projections::engine::sagas::{SagaFilter, SagaRow};
use projections::engine::watermark::Watermark;
use projections::read_models::{
    EventFilter, EventPage, Listed, Model, OrderFilter, OrderRow, Page, PaymentRow, ProductFilter,
    ProductRow, ProductSearch, ProductSort, ReadError, ReadModels, SearchHits, ShipmentRow, StockRow,
    UserRow,
};
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use tokio::time::Instant;
use uuid::Uuid;

use self::sql::Query;
use super::{Database, checkpoints};
use crate::event_scan::{EventScan, ScanLimits, Window};
use crate::product_list;
use crate::read_side::Marks;
use crate::saga_standing::Scope;

/// A transaction that reads, and sees the same all the time.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The questions, answered from the database and the search index.
#[derive(Clone)]
pub struct PostgresReadModels {
    database: Database,
    search: Arc<dyn ProductSearch>,
    marks: Marks,
    scans: ScanLimits,
}

impl PostgresReadModels {
    /// Read models over projections that run here or elsewhere: `watermarks` are those of their runners or of a
    /// [`Follower`](projections::engine::follower::Follower). A model without one is never seen.
    #[must_use]
    pub fn new(
        database: Database,
        search: Arc<dyn ProductSearch>,
        watermarks: impl IntoIterator<Item = Watermark>,
    ) -> Self {
        Self { database, search, marks: Marks::new(watermarks), scans: ScanLimits::default() }
    }

    /// The same with other bounds of what a page of events may cost.
    #[must_use]
    pub fn with_scans(self, scans: ScanLimits) -> Self {
        Self { scans, ..self }
    }

    /// How PostgreSQL goes about a window of events (`EXPLAIN`), for those who check that indexes serve it.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn plan_of_events(&self, tenant: &str, filter: &EventFilter) -> Result<Vec<String>, ReadError> {
        let query = events::within(tenant, filter, Window { shard: 0, first: 1, last: 20_000 }, 100);
        self.rows(Model::Events, query.explained(), |row| row.try_get(0)).await
    }

    /// The rows of a question that is one statement, in one snapshot with the positions that they hold where that matters.
    async fn rows<T>(
        &self,
        model: Model,
        query: Query,
        read: fn(&PgRow) -> sqlx::Result<T>,
    ) -> Result<Vec<T>, ReadError> {
        let Some(token) = self.marks.needs() else {
            let mut conn = self.database.reads().acquire().await.map_err(unavailable)?;
            return answer(&mut conn, model, query, read).await;
        };
        loop {
            let mut both = self.database.reads().begin_with(SNAPSHOT).await.map_err(unavailable)?;
            let mark = checkpoints::mark(&mut both, model.projection()).await.map_err(unavailable)?;
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
        model: Model,
        query: Query,
        read: fn(&PgRow) -> sqlx::Result<T>,
    ) -> Result<Option<T>, ReadError> {
        Ok(self.rows(model, query, read).await?.pop())
    }
}

async fn answer<T>(
    conn: &mut PgConnection,
    model: Model,
    query: Query,
    read: fn(&PgRow) -> sqlx::Result<T>,
) -> Result<Vec<T>, ReadError> {
    let rows = query.rows(&mut *conn).await;
    if rows.as_ref().is_err_and(shape_changed) {
        // A rebuild gave a view other types: what this connection has prepared fits no more, but would be tried for ever.
        sqlx::Connection::clear_cached_statements(conn).await.map_err(unavailable)?;
    }
    let rows = rows.map_err(|error| match lacks_columns(&error) {
        true => ReadError::NotLive { model: model.projection() },
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
    async fn wait_for(&self, model: Model, token: &SyncToken, wait: Duration) -> Result<(), ReadError> {
        self.marks.wait_for(model, token, wait).await
    }

    fn after(self: Arc<Self>, token: &SyncToken, until: Instant) -> Arc<dyn ReadModels> {
        Arc::new(Self { marks: self.marks.after(token, until), ..Self::clone(&self) })
    }

    fn seen(&self, model: Model) -> Seen {
        self.marks.seen(model)
    }

    async fn is_parked(&self, model: Model, stream: &StreamId) -> Result<bool, ReadError> {
        let mut query = Query::of_tenant(include_str!("select_parked.sql"), stream.tenant());
        query.text(model.projection());
        query.and_text("stream_type", stream.kind());
        query.and_text("stream_id", stream.id());
        Ok(self.first(model, query, |_| Ok(())).await?.is_some())
    }

    async fn product(&self, tenant: &str, id: Uuid) -> Result<Option<ProductRow>, ReadError> {
        self.first(Model::Products, products::one(tenant, id), products::row).await
    }

    async fn products(
        &self,
        tenant: &str,
        filter: &ProductFilter,
        sort: ProductSort,
        page: &Page,
    ) -> Result<Listed<ProductRow>, ReadError> {
        let rows = self
            .rows(Model::Products, products::query(tenant, filter, sort, page)?, products::sorted_row)
            .await?;
        Ok(product_list::page(rows, sort, page.limit))
    }

    async fn search(
        &self,
        tenant: &str,
        text: &str,
        filter: &ProductFilter,
        sort: ProductSort,
        page: &Page,
    ) -> Result<SearchHits, ReadError> {
        self.search.search(tenant, text, filter, sort, page).await
    }

    async fn stock(&self, tenant: &str, products: &[Uuid]) -> Result<Vec<StockRow>, ReadError> {
        if products.is_empty() {
            return Ok(Vec::new());
        }
        self.rows(Model::Inventory, parts::stock(tenant, products), parts::stock_row).await
    }

    async fn order(&self, tenant: &str, id: Uuid) -> Result<Option<OrderRow>, ReadError> {
        self.first(Model::Orders, orders::one(tenant, id), orders::row).await
    }

    async fn orders(
        &self,
        tenant: &str,
        filter: &OrderFilter,
        page: &Page,
    ) -> Result<Listed<OrderRow>, ReadError> {
        let rows = self.rows(Model::Orders, orders::query(tenant, filter, page)?, orders::row).await?;
        Ok(orders::page(rows, page.limit))
    }

    async fn payment(&self, tenant: &str, id: Uuid) -> Result<Option<PaymentRow>, ReadError> {
        self.first(Model::Payments, parts::payment(tenant, id), parts::payment_row).await
    }

    async fn shipment(&self, tenant: &str, id: Uuid) -> Result<Option<ShipmentRow>, ReadError> {
        self.first(Model::Shipments, parts::shipment(tenant, id), parts::shipment_row).await
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
                self.first(Model::Sagas, sagas::saga(tenant, order, overdue, scope), sagas::row).await?;
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
        let rows = self.rows(Model::Sagas, sagas::query(tenant, filter, page)?, sagas::row).await?;
        Ok(sagas::page(rows, page.limit))
    }

    async fn user(&self, tenant: &str, id: Uuid) -> Result<Option<UserRow>, ReadError> {
        self.first(Model::Users, parts::user(tenant, id), parts::user_row).await
    }

    async fn stream_events(
        &self,
        stream: &StreamId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Arc<RecordedEvent>>, ReadError> {
        self.rows(Model::Events, events::stream(stream, after, limit), events::event).await
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
