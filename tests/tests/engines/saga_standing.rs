//! PostgreSQL passes the contract of what operators see of sagas.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use async_trait::async_trait;
use infra::postgres::read_models::PostgresReadModels;
use infra::postgres::saga_work::PostgresSagaWork;
use infra::postgres::{Database, PostgresReadStore};
use infra::tantivy::TantivySearch;
use projections::engine::store::RowStore;
use projections::read_models::ReadModels;
use sagas::standing::SagaWork;
use tempfile::TempDir;
use tests::contract::saga_standing::SagaStandingFactory;
use tests::contract::saga_work::SagaWorkFactory;
use tests::postgres::PostgresSchema;

struct Postgres {
    schema: PostgresSchema,
    dir: TempDir,
}

impl Postgres {
    fn new() -> Self {
        Self { schema: PostgresSchema::fresh(), dir: tempfile::tempdir().unwrap() }
    }

    async fn database(&self) -> Database {
        Database::connect(&self.schema.url()).await.unwrap()
    }
}

#[async_trait]
impl SagaWorkFactory for Postgres {
    async fn fresh(&self) -> (Arc<dyn RowStore>, Arc<dyn SagaWork>) {
        let database = self.database().await;
        (Arc::new(PostgresReadStore::new(database.clone())), Arc::new(PostgresSagaWork::new(database)))
    }
}

#[async_trait]
impl SagaStandingFactory for Postgres {
    async fn models(&self) -> Arc<dyn ReadModels> {
        let database = self.database().await;
        let store = Arc::new(PostgresReadStore::new(database.clone()));
        let search = Arc::new(TantivySearch::new(self.dir.path(), store));
        Arc::new(PostgresReadModels::new(database, search, Vec::new()))
    }
}

tests::saga_standing_contract!(Postgres::new());
