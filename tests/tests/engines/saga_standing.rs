//! PostgreSQL passes the contract of what operators see of sagas.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use async_trait::async_trait;
use infra::postgres::read_models::PostgresReadModels;
use infra::postgres::saga_work::PostgresSagaWork;
use infra::postgres::{Database, PostgresReadStore};
use projections::engine::read_models::ReadModels;
use projections::engine::store::RowStore;
use sagas::standing::SagaWork;
use tests::contract::saga_standing::SagaStandingFactory;
use tests::contract::saga_work::SagaWorkFactory;
use tests::postgres::PostgresSchema;

struct Postgres {
    schema: PostgresSchema,
}

impl Postgres {
    fn new() -> Self {
        Self { schema: PostgresSchema::fresh() }
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
        Arc::new(PostgresReadModels::new(self.database().await, Vec::new()))
    }
}

tests::saga_standing_contract!(Postgres::new());
