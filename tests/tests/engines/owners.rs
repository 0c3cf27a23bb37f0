//! The owners' contract over Cassandra.

use std::sync::Arc;

use async_trait::async_trait;
use domain::ports::log::EventLog;
use infra::cassandra::CassandraLog;
use tests::cassandra::Keyspace;
use tests::contract::owners::FreshLog;

pub(crate) struct Cassandra {
    pub(crate) log: CassandraLog,
    _keyspace: Keyspace,
}

#[async_trait]
impl FreshLog for Cassandra {
    async fn fresh(shards: u16) -> Self {
        let keyspace = Keyspace::new(shards).await;
        Self { log: keyspace.open().await, _keyspace: keyspace }
    }

    fn log(&self) -> Arc<dyn EventLog> {
        Arc::new(self.log.clone())
    }
}

tests::owners_contract!(Cassandra);
