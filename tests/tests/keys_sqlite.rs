//! The SQLite key store passes the contract of the port.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use async_trait::async_trait;
use domain::ports::keys::SubjectKeys;
use infra::sqlite::keys::SqliteKeys;
use tempfile::TempDir;
use tests::contract::keys::KeysFactory;

struct Sqlite(TempDir);

impl Sqlite {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

#[async_trait]
impl KeysFactory for Sqlite {
    async fn open(&self) -> Arc<dyn SubjectKeys> {
        Arc::new(SqliteKeys::open(self.0.path()).unwrap())
    }
}

tests::keys_contract!(Sqlite::new());
