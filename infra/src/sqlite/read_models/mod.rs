//! The read models' questions on SQLite, with the search beside.

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
use projections::engine::mark::Mark;
use projections::engine::sagas::{SagaFilter, SagaRow};
use projections::engine::store::StoreError;
use projections::engine::watermark::Watermark;
use projections::read_models::{
    EventFilter, EventPage, Listed, Model, OrderFilter, OrderRow, Page, PaymentRow, ProductFilter,
    ProductRow, ProductSearch, ProductSort, ReadError, ReadModels, SearchHits, ShipmentRow, StockRow,
    UserRow,
};
use rusqlite::Connection;
use tokio::time::Instant;
use uuid::Uuid;

use super::read_store::SqliteReadStore;
use super::read_store::apply::mark;
use crate::event_scan::{EventScan, ScanLimits, Window};
use crate::read_side::Marks;

/// The questions, answered from `read.db` and the search index.
#[derive(Clone)]
pub struct EmbeddedReadModels {
    store: Arc<SqliteReadStore>,
    search: Arc<dyn ProductSearch>,
    marks: Marks,
    scans: ScanLimits,
}

impl EmbeddedReadModels {
    /// Read models over running projections: `watermarks` are those of their runners. A model without one is never seen.
    #[must_use]
    pub fn new(
        store: Arc<SqliteReadStore>,
        search: Arc<dyn ProductSearch>,
        watermarks: impl IntoIterator<Item = Watermark>,
    ) -> Self {
        Self { store, search, marks: Marks::new(watermarks), scans: ScanLimits::default() }
    }

    /// The same with other bounds of what a page of events may cost.
    #[must_use]
    pub fn with_scans(self, scans: ScanLimits) -> Self {
        Self { scans, ..self }
    }

    /// How SQLite goes about a window of events (`EXPLAIN QUERY PLAN`), for those who check that indexes serve it.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn plan_of_events(&self, tenant: &str, filter: &EventFilter) -> Result<Vec<String>, ReadError> {
        let query = events::within(tenant, filter, Window { shard: 0, first: 1, last: 20_000 }, 100);
        self.read(Model::Events, move |conn| query.plan(conn)).await
    }

    /// Reads in one snapshot with the positions that the model's rows hold.
    async fn read<T: Send + 'static>(
        &self,
        model: Model,
        mut read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        loop {
            let needs = self.marks.needs();
            let answer = self.store.read(move |conn| {
                if let Some(token) = needs {
                    let mark = mark(conn, model.projection())?;
                    if !mark.seen.covers(&token) {
                        return Ok(Answer::Behind(mark, read));
                    }
                }
                match read(conn) {
                    Err(error) if lacks_columns(&error) => Ok(Answer::NotLive),
                    answer => answer.map(Answer::Rows),
                }
            });
            match answer.await.map_err(read_error)? {
                Answer::Rows(answer) => return Ok(answer),
                Answer::NotLive => return Err(ReadError::NotLive { model: model.projection() }),
                Answer::Behind(mark, again) => {
                    self.marks.fallen(model, &mark).await?;
                    read = again;
                }
            }
        }
    }
}

/// What a snapshot says to a question.
enum Answer<T, Q> {
    Rows(T),
    /// The rows don't hold what is needed, and the question is to be asked again.
    Behind(Mark, Q),
    /// The rows are of another version, which lacks columns.
    NotLive,
}

/// "SQL error or missing database": the statements are right, so the tables are of another version.
fn lacks_columns(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqlInputError { .. } => true,
        rusqlite::Error::SqliteFailure(error, _) => error.extended_code == rusqlite::ffi::SQLITE_ERROR,
        _ => false,
    }
}

fn read_error(error: StoreError) -> ReadError {
    ReadError::Unavailable(error.to_string())
}

#[async_trait]
impl ReadModels for EmbeddedReadModels {
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
        self.store.is_parked(model.projection(), stream).await.map_err(read_error)
    }

    async fn product(&self, tenant: &str, id: Uuid) -> Result<Option<ProductRow>, ReadError> {
        let tenant = tenant.to_owned();
        self.read(Model::Products, move |conn| products::product(conn, &tenant, id)).await
    }

    async fn products(
        &self,
        tenant: &str,
        filter: &ProductFilter,
        sort: ProductSort,
        page: &Page,
    ) -> Result<Listed<ProductRow>, ReadError> {
        let query = products::query(tenant, filter, sort, page)?;
        self.read(Model::Products, move |conn| products::list(conn, query)).await
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
        let (tenant, products) = (tenant.to_owned(), products.to_vec());
        self.read(Model::Inventory, move |conn| parts::stock(conn, &tenant, &products)).await
    }

    async fn order(&self, tenant: &str, id: Uuid) -> Result<Option<OrderRow>, ReadError> {
        let tenant = tenant.to_owned();
        self.read(Model::Orders, move |conn| orders::order(conn, &tenant, id)).await
    }

    async fn orders(
        &self,
        tenant: &str,
        filter: &OrderFilter,
        page: &Page,
    ) -> Result<Listed<OrderRow>, ReadError> {
        let query = orders::query(tenant, filter, page)?;
        self.read(Model::Orders, move |conn| orders::list(conn, query)).await
    }

    async fn payment(&self, tenant: &str, id: Uuid) -> Result<Option<PaymentRow>, ReadError> {
        let tenant = tenant.to_owned();
        self.read(Model::Payments, move |conn| parts::payment(conn, &tenant, id)).await
    }

    async fn shipment(&self, tenant: &str, id: Uuid) -> Result<Option<ShipmentRow>, ReadError> {
        let tenant = tenant.to_owned();
        self.read(Model::Shipments, move |conn| parts::shipment(conn, &tenant, id)).await
    }

    async fn saga(
        &self,
        tenant: &str,
        order: Uuid,
        overdue: Timestamp,
    ) -> Result<Option<SagaRow>, ReadError> {
        let tenant = tenant.to_owned();
        self.read(Model::Sagas, move |conn| sagas::saga(conn, &tenant, order, overdue)).await
    }

    async fn sagas(
        &self,
        tenant: &str,
        filter: &SagaFilter,
        page: &Page,
    ) -> Result<Listed<SagaRow>, ReadError> {
        let query = sagas::query(tenant, filter, page)?;
        self.read(Model::Sagas, move |conn| sagas::list(conn, &query)).await
    }

    async fn user(&self, tenant: &str, id: Uuid) -> Result<Option<UserRow>, ReadError> {
        let tenant = tenant.to_owned();
        self.read(Model::Users, move |conn| parts::user(conn, &tenant, id)).await
    }

    async fn stream_events(
        &self,
        stream: &StreamId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Arc<RecordedEvent>>, ReadError> {
        let stream = stream.clone();
        self.read(Model::Events, move |conn| events::stream(conn, &stream, after, limit)).await
    }

    async fn events(
        &self,
        tenant: &str,
        filter: &EventFilter,
        from: Position,
        heads: &Seen,
        limit: usize,
    ) -> Result<EventPage, ReadError> {
        let (tenant, filter) = (tenant.to_owned(), filter.clone());
        let scan = EventScan::new(from, heads, limit, self.scans);
        self.read(Model::Events, move |conn| events::matching(conn, &tenant, &filter, scan)).await
    }
}
