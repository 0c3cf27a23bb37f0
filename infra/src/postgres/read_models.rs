//! The read models' questions on PostgreSQL, with the search beside.
//!
//! Every answer is of one snapshot: of one statement, or of one read-only transaction. The statements read the views that analysts
//! read, so a swap of generations shows them the new rows at once.

mod columns;
mod events;
mod orders;
mod parts;
mod products;
mod sql;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::event::RecordedEvent;
use domain::position::{Position, Seen, SyncToken};
use domain::stream::StreamId;
use projections::read_models::{
    EventFilter, Listed, Model, OrderFilter, OrderRow, Page, PaymentRow, ProductFilter, ProductRow,
    ProductSearch, ProductSort, ReadError, ReadModels, SearchHits, ShipmentRow, StockRow, UserRow,
};
use projections::watermark::Watermark;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use self::sql::Query;
use super::Database;
use crate::product_list;

/// A transaction that reads, and sees the same all the time.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The questions, answered from the database and the search index.
pub struct PostgresReadModels {
    database: Database,
    search: Arc<dyn ProductSearch>,
    marks: BTreeMap<&'static str, Watermark>,
}

impl PostgresReadModels {
    /// Read models over projections that run here or elsewhere: `watermarks` are those of their runners or of a
    /// [`Follower`](projections::follower::Follower). A model without one is never seen.
    #[must_use]
    pub fn new(
        database: Database,
        search: Arc<dyn ProductSearch>,
        watermarks: impl IntoIterator<Item = Watermark>,
    ) -> Self {
        let marks = watermarks.into_iter().map(|mark| (mark.projection(), mark)).collect();
        Self { database, search, marks }
    }

    /// The rows of a question that is one statement.
    async fn rows<T>(&self, query: Query, read: fn(&PgRow) -> sqlx::Result<T>) -> Result<Vec<T>, ReadError> {
        let mut conn = self.database.reads().acquire().await.map_err(unavailable)?;
        let rows = query.rows(&mut conn).await;
        if rows.as_ref().is_err_and(shape_changed) {
            // A rebuild gave a view other types: what this connection has prepared fits no more, but would be tried for ever.
            sqlx::Connection::clear_cached_statements(&mut *conn).await.map_err(unavailable)?;
        }
        rows.and_then(|rows| rows.iter().map(read).collect()).map_err(unavailable)
    }

    async fn first<T>(
        &self,
        query: Query,
        read: fn(&PgRow) -> sqlx::Result<T>,
    ) -> Result<Option<T>, ReadError> {
        Ok(self.rows(query, read).await?.pop())
    }
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
        let name = model.projection();
        match self.marks.get(name) {
            Some(mark) => mark.wait_for(token, wait).await,
            None => Err(ReadError::Unavailable(format!("the projection {name} isn't followed here"))),
        }
    }

    fn seen(&self, model: Model) -> Seen {
        self.marks.get(model.projection()).map_or_else(|| Seen::none(0), Watermark::seen)
    }

    async fn is_parked(&self, model: Model, stream: &StreamId) -> Result<bool, ReadError> {
        let mut query = Query::of_tenant(include_str!("read_models/select_parked.sql"), stream.tenant());
        query.text(model.projection());
        query.and_text("stream_type", stream.kind());
        query.and_text("stream_id", stream.id());
        Ok(self.first(query, |_| Ok(())).await?.is_some())
    }

    async fn product(&self, tenant: &str, id: Uuid) -> Result<Option<ProductRow>, ReadError> {
        self.first(products::one(tenant, id), products::row).await
    }

    async fn products(
        &self,
        tenant: &str,
        filter: &ProductFilter,
        sort: ProductSort,
        page: &Page,
    ) -> Result<Listed<ProductRow>, ReadError> {
        let rows = self.rows(products::query(tenant, filter, sort, page)?, products::sorted_row).await?;
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
        self.rows(parts::stock(tenant, products), parts::stock_row).await
    }

    async fn order(&self, tenant: &str, id: Uuid) -> Result<Option<OrderRow>, ReadError> {
        self.first(orders::one(tenant, id), orders::row).await
    }

    async fn orders(
        &self,
        tenant: &str,
        filter: &OrderFilter,
        page: &Page,
    ) -> Result<Listed<OrderRow>, ReadError> {
        let rows = self.rows(orders::query(tenant, filter, page)?, orders::row).await?;
        Ok(orders::page(rows, page.limit))
    }

    async fn payment(&self, tenant: &str, id: Uuid) -> Result<Option<PaymentRow>, ReadError> {
        self.first(parts::payment(tenant, id), parts::payment_row).await
    }

    async fn shipment(&self, tenant: &str, id: Uuid) -> Result<Option<ShipmentRow>, ReadError> {
        self.first(parts::shipment(tenant, id), parts::shipment_row).await
    }

    async fn user(&self, tenant: &str, id: Uuid) -> Result<Option<UserRow>, ReadError> {
        self.first(parts::user(tenant, id), parts::user_row).await
    }

    async fn stream_events(
        &self,
        stream: &StreamId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Arc<RecordedEvent>>, ReadError> {
        self.rows(events::stream(stream, after, limit), events::event).await
    }

    async fn events(
        &self,
        tenant: &str,
        filter: &EventFilter,
        from: Position,
        heads: &Seen,
        limit: usize,
    ) -> Result<Vec<Arc<RecordedEvent>>, ReadError> {
        let mut tx = self.database.reads().begin_with(SNAPSHOT).await.map_err(unavailable)?;
        let found =
            events::matching(&mut tx, tenant, filter, from, heads, limit).await.map_err(unavailable)?;
        tx.commit().await.map_err(unavailable)?;
        Ok(found)
    }
}
