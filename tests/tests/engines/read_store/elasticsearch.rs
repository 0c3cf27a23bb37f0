//! Elasticsearch passes the contract of the read store, with all three of its indices.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::ports::log::EventLog;
use infra::elasticsearch::rebuild::renew;
use projections::engine::model::Projection;
use projections::engine::store::RowStore;
use tests::contract::read_store::ReadStoreFactory;
use tests::elasticsearch::Indices;

/// Keeps the indices of all stores that it made; the last one's are opened again.
#[derive(Default)]
struct Factory(Mutex<Vec<Indices>>);

#[async_trait]
impl ReadStoreFactory for Factory {
    fn projections(&self) -> Vec<Arc<dyn Projection>> {
        infra::shop::projections().documents.to_vec()
    }

    fn kind(&self) -> &'static str {
        "product"
    }

    async fn fresh(&self) -> Arc<dyn RowStore> {
        let indices = Indices::default();
        let store = indices.store();
        self.0.lock().unwrap().push(indices);
        store
    }

    async fn renew(&self, projections: &[Arc<dyn Projection>], log: Arc<dyn EventLog>) {
        let (url, letters) = {
            let indices = self.0.lock().unwrap();
            let indices = indices.last().unwrap();
            (indices.url.clone(), indices.letters())
        };
        renew(&url, letters, projections, log).await.unwrap();
    }

    async fn reopen(&self, store: Arc<dyn RowStore>) -> Arc<dyn RowStore> {
        drop(store);
        self.0.lock().unwrap().last().unwrap().store()
    }
}

tests::read_store_contract!(Factory::default());
