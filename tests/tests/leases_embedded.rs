//! The contract of leases, handover and asking the owner, over the embedded event log and leases in memory.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use async_trait::async_trait;
use domain::ports::leases::Leases;
use domain::ports::log::EventLog;
use infra::sqlite::log::SqliteLog;
use tests::contract::leases::FreshLeases;
use tests::contract::owners::FreshLog;
use tests::leases::MapLeases;

struct Embedded {
    log: Arc<SqliteLog>,
    leases: Arc<MapLeases>,
    _directory: tempfile::TempDir,
}

#[async_trait]
impl FreshLog for Embedded {
    async fn fresh(shards: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = Arc::new(SqliteLog::open(directory.path(), shards).unwrap());
        Self { log, leases: MapLeases::new(shards), _directory: directory }
    }

    fn log(&self) -> Arc<dyn EventLog> {
        self.log.clone()
    }
}

impl FreshLeases for Embedded {
    fn leases(&self) -> Arc<dyn Leases> {
        self.leases.clone()
    }
}

tests::leases_contract!(Embedded);
