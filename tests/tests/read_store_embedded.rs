//! SQLite and tantivy pass the contract of the read store.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use infra::sqlite::read_store::SqliteReadStore;
use infra::tantivy::TantivySearch;
use projections::model::Projection;
use projections::search::Search;
use projections::store::RowStore;
use tempfile::TempDir;
use tests::contract::read_store::ReadStoreFactory;

/// Numbers the directories of a factory's stores.
struct Directories {
    dir: TempDir,
    count: AtomicUsize,
}

impl Directories {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), count: AtomicUsize::new(0) }
    }

    fn next(&self) -> PathBuf {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.current()
    }

    fn current(&self) -> PathBuf {
        let dir = self.dir.path().join(self.count.load(Ordering::Relaxed).to_string());
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }
}

struct Sqlite(Directories);

#[async_trait]
impl ReadStoreFactory for Sqlite {
    fn projections(&self) -> Vec<Arc<dyn Projection>> {
        let mut projections = infra::read_side::row_projections();
        projections.sort_by_key(|p| p.name() != "orders");
        projections
    }

    fn kind(&self) -> &'static str {
        "order"
    }

    async fn fresh(&self) -> Arc<dyn RowStore> {
        Arc::new(SqliteReadStore::open(&self.0.next()).unwrap())
    }

    async fn reopen(&self, store: Arc<dyn RowStore>) -> Arc<dyn RowStore> {
        drop(store);
        Arc::new(SqliteReadStore::open(&self.0.current()).unwrap())
    }
}

struct Tantivy(Directories);

impl Tantivy {
    fn open(dir: &std::path::Path) -> Arc<dyn RowStore> {
        let letters = Arc::new(SqliteReadStore::open(dir).unwrap());
        Arc::new(TantivySearch::new(dir, letters))
    }
}

#[async_trait]
impl ReadStoreFactory for Tantivy {
    fn projections(&self) -> Vec<Arc<dyn Projection>> {
        vec![Arc::new(Search)]
    }

    fn kind(&self) -> &'static str {
        "product"
    }

    async fn fresh(&self) -> Arc<dyn RowStore> {
        Self::open(&self.0.next())
    }

    async fn reopen(&self, store: Arc<dyn RowStore>) -> Arc<dyn RowStore> {
        drop(store);
        Self::open(&self.0.current())
    }
}

mod sqlite {
    use super::*;
    tests::read_store_contract!(Sqlite(Directories::new()));
}

mod tantivy {
    use super::*;
    tests::read_store_contract!(Tantivy(Directories::new()));
}
