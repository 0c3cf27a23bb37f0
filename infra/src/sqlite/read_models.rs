//! The read models' questions on SQLite, with the search beside.

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
use projections::store::StoreError;
use projections::watermark::Watermark;
use rusqlite::Connection;
use uuid::Uuid;

use super::read_store::SqliteReadStore;

/// The questions, answered from `read.db` and the search index.
pub struct EmbeddedReadModels {
    store: Arc<SqliteReadStore>,
    search: Arc<dyn ProductSearch>,
    marks: BTreeMap<&'static str, Watermark>,
}

impl EmbeddedReadModels {
    /// Read models over running projections: `watermarks` are those of their runners. A model without one is never seen.
    #[must_use]
    pub fn new(
        store: Arc<SqliteReadStore>,
        search: Arc<dyn ProductSearch>,
        watermarks: impl IntoIterator<Item = Watermark>,
    ) -> Self {
        let marks = watermarks.into_iter().map(|mark| (mark.projection(), mark)).collect();
        Self { store, search, marks }
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        self.store.read(read).await.map_err(read_error)
    }
}

fn read_error(error: StoreError) -> ReadError {
    ReadError::Unavailable(error.to_string())
}

#[async_trait]
impl ReadModels for EmbeddedReadModels {
    async fn wait_for(&self, model: Model, token: &SyncToken, wait: Duration) -> Result<(), ReadError> {
        let name = model.projection();
        match self.marks.get(name) {
            Some(mark) => mark.wait_for(token, wait).await,
            None => Err(ReadError::Unavailable(format!("the projection {name} doesn't run here"))),
        }
    }

    fn seen(&self, model: Model) -> Seen {
        self.marks.get(model.projection()).map_or_else(|| Seen::none(0), Watermark::seen)
    }

    async fn is_parked(&self, model: Model, stream: &StreamId) -> Result<bool, ReadError> {
        self.store.is_parked(model.projection(), stream).await.map_err(read_error)
    }

    async fn product(&self, tenant: &str, id: Uuid) -> Result<Option<ProductRow>, ReadError> {
        let tenant = tenant.to_owned();
        self.read(move |conn| products::product(conn, &tenant, id)).await
    }

    async fn products(
        &self,
        tenant: &str,
        filter: &ProductFilter,
        sort: ProductSort,
        page: &Page,
    ) -> Result<Listed<ProductRow>, ReadError> {
        let query = products::query(tenant, filter, sort, page)?;
        self.read(move |conn| products::list(conn, query)).await
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
        self.read(move |conn| parts::stock(conn, &tenant, &products)).await
    }

    async fn order(&self, tenant: &str, id: Uuid) -> Result<Option<OrderRow>, ReadError> {
        let tenant = tenant.to_owned();
        self.read(move |conn| orders::order(conn, &tenant, id)).await
    }

    async fn orders(
        &self,
        tenant: &str,
        filter: &OrderFilter,
        page: &Page,
    ) -> Result<Listed<OrderRow>, ReadError> {
        let query = orders::query(tenant, filter, page)?;
        self.read(move |conn| orders::list(conn, query)).await
    }

    async fn payment(&self, tenant: &str, id: Uuid) -> Result<Option<PaymentRow>, ReadError> {
        let tenant = tenant.to_owned();
        self.read(move |conn| parts::payment(conn, &tenant, id)).await
    }

    async fn shipment(&self, tenant: &str, id: Uuid) -> Result<Option<ShipmentRow>, ReadError> {
        let tenant = tenant.to_owned();
        self.read(move |conn| parts::shipment(conn, &tenant, id)).await
    }

    async fn user(&self, tenant: &str, id: Uuid) -> Result<Option<UserRow>, ReadError> {
        let tenant = tenant.to_owned();
        self.read(move |conn| parts::user(conn, &tenant, id)).await
    }

    async fn stream_events(
        &self,
        stream: &StreamId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Arc<RecordedEvent>>, ReadError> {
        let stream = stream.clone();
        self.read(move |conn| events::stream(conn, &stream, after, limit)).await
    }

    async fn events(
        &self,
        tenant: &str,
        filter: &EventFilter,
        from: Position,
        heads: &Seen,
        limit: usize,
    ) -> Result<Vec<Arc<RecordedEvent>>, ReadError> {
        let (tenant, filter, heads) = (tenant.to_owned(), filter.clone(), heads.clone());
        self.read(move |conn| events::matching(conn, &tenant, &filter, from, &heads, limit)).await
    }
}
