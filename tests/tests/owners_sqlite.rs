//! The contracts of the owners and of the cqrs-es repository over the embedded event log.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use async_trait::async_trait;
use domain::ports::log::EventLog;
use infra::sqlite::log::SqliteLog;
use tests::contract::owners::FreshLog;

struct Sqlite {
    log: Arc<SqliteLog>,
    _directory: tempfile::TempDir,
}

#[async_trait]
impl FreshLog for Sqlite {
    async fn fresh(shards: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = Arc::new(SqliteLog::open(directory.path(), shards).unwrap());
        Self { log, _directory: directory }
    }

    fn log(&self) -> Arc<dyn EventLog> {
        self.log.clone()
    }
}

tests::owners_contract!(Sqlite);

mod repository {
    use super::*;
    tests::repository_contract!(Sqlite);
}
