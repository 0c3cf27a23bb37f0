//! The contract of leases, handover and asking the owner, over Cassandra.

use std::sync::Arc;

use async_trait::async_trait;
use domain::ports::leases::Leases;
use domain::ports::log::EventLog;
use infra::cassandra::CassandraLog;
use tests::cassandra::Keyspace;
use tests::contract::leases::FreshLeases;
use tests::contract::owners::FreshLog;

struct Cassandra {
    log: CassandraLog,
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

impl FreshLeases for Cassandra {
    fn leases(&self) -> Arc<dyn Leases> {
        Arc::new(self.log.clone())
    }
}

tests::leases_contract!(Cassandra);
