//! SQLite passes the contract of what operators see of sagas.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use async_trait::async_trait;
use infra::sqlite::read_models::EmbeddedReadModels;
use infra::sqlite::read_store::SqliteReadStore;
use infra::sqlite::saga_work::SqliteSagaWork;
use projections::engine::read_models::ReadModels;
use projections::engine::store::RowStore;
use sagas::standing::SagaWork;
use tempfile::TempDir;
use tests::contract::saga_standing::SagaStandingFactory;
use tests::contract::saga_work::SagaWorkFactory;

struct Embedded(TempDir);

impl Embedded {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

#[async_trait]
impl SagaWorkFactory for Embedded {
    async fn fresh(&self) -> (Arc<dyn RowStore>, Arc<dyn SagaWork>) {
        let store = Arc::new(SqliteReadStore::open(self.0.path()).unwrap());
        let work = SqliteSagaWork::new(Arc::clone(&store));
        (store, Arc::new(work))
    }
}

#[async_trait]
impl SagaStandingFactory for Embedded {
    async fn models(&self) -> Arc<dyn ReadModels> {
        let store = Arc::new(SqliteReadStore::open(self.0.path()).unwrap());
        Arc::new(EmbeddedReadModels::new(store, Vec::new()))
    }
}

tests::saga_standing_contract!(Embedded::new());
