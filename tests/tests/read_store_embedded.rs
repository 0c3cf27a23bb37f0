//! SQLite and tantivy pass the contract of the read store.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::ports::log::{EventLog, LogReader};
use infra::rebuild::renewal::{renew_rows, renew_search};
use infra::sqlite::read_store::SqliteReadStore;
use infra::tantivy::TantivySearch;
use projections::catalogue::documents::{INDEX, Search};
use projections::engine::model::Projection;
use projections::engine::store::RowStore;
use tempfile::TempDir;
use tests::contract::history::{History, Story};
use tests::contract::read_store::origin::copies;
use tests::contract::read_store::{ReadStoreFactory, applier};

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

/// Rows, and the store opened last.
struct Sqlite(Directories, Mutex<Option<Arc<SqliteReadStore>>>);

impl Sqlite {
    fn new() -> Self {
        Self(Directories::new(), Mutex::default())
    }

    fn open(&self, dir: &Path) -> Arc<dyn RowStore> {
        let store = Arc::new(SqliteReadStore::open(dir).unwrap());
        *self.1.lock().unwrap() = Some(store.clone());
        store
    }
}

#[async_trait]
impl ReadStoreFactory for Sqlite {
    fn projections(&self) -> Vec<Arc<dyn Projection>> {
        let mut projections = infra::shop::projections().rows;
        projections.sort_by_key(|p| p.name() != "orders");
        projections
    }

    fn kind(&self) -> &'static str {
        "order"
    }

    async fn fresh(&self) -> Arc<dyn RowStore> {
        self.open(&self.0.next())
    }

    async fn renew(&self, projections: &[Arc<dyn Projection>], log: Arc<dyn EventLog>) {
        let store = self.1.lock().unwrap().clone().unwrap();
        let log = log as Arc<dyn LogReader>;
        renew_rows(&self.0.current(), &store, projections, &log).await.unwrap();
    }

    async fn reopen(&self, store: Arc<dyn RowStore>) -> Arc<dyn RowStore> {
        drop(store);
        *self.1.lock().unwrap() = None;
        self.open(&self.0.current())
    }
}

/// The index opened last, and where its dead letters are.
type Index = (Arc<TantivySearch>, Arc<SqliteReadStore>);

struct Tantivy(Directories, Mutex<Option<Index>>);

impl Tantivy {
    fn new() -> Self {
        Self(Directories::new(), Mutex::default())
    }

    fn open(&self, dir: &Path) -> Arc<dyn RowStore> {
        let letters = Arc::new(SqliteReadStore::open(dir).unwrap());
        let index = Arc::new(TantivySearch::new(&INDEX, dir, letters.clone()));
        *self.1.lock().unwrap() = Some((index.clone(), letters));
        index
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
        self.open(&self.0.next())
    }

    async fn renew(&self, projections: &[Arc<dyn Projection>], log: Arc<dyn EventLog>) {
        let (index, letters) = self.1.lock().unwrap().clone().unwrap();
        let (dir, log) = (self.0.current(), log as Arc<dyn LogReader>);
        renew_search(&dir, &index, &letters, projections[0].clone(), &log).await.unwrap();
    }

    async fn reopen(&self, store: Arc<dyn RowStore>) -> Arc<dyn RowStore> {
        drop(store);
        *self.1.lock().unwrap() = None;
        self.open(&self.0.current())
    }
}

/// A file of a program that kept no frames.
// proves: EVT-7, P6
#[tokio::test]
async fn rows_of_an_older_program_are_adopted_unless_their_events_are_others() {
    let copies = copies().await;
    let (dir, projections) = (tempfile::tempdir().unwrap(), infra::shop::projections().rows);
    let open = || -> Arc<dyn RowStore> { Arc::new(SqliteReadStore::open(dir.path()).unwrap()) };
    let store = open();
    let mut before = applier(&store, &projections, copies.log.store()).await;
    before.apply(&copies.history.events, copies.log.as_ref()).await.unwrap();
    let low = before.low();
    drop((before, store));
    let file = dir.path().join("read.db");
    let older = || {
        let conn = rusqlite::Connection::open(&file).unwrap();
        for (table, column) in
            [("store", "log"), ("checkpoints", "marked"), ("checkpoints", "frame"), ("checkpoints", "hash")]
        {
            conn.execute_batch(&format!("ALTER TABLE {table} DROP COLUMN {column}")).unwrap();
        }
    };
    older();
    {
        let store = open();
        let mut adopted = applier(&store, &projections, copies.log.store()).await;
        adopted.reconcile(copies.log.as_ref()).await.unwrap();
        assert_eq!(adopted.low(), low);
    }
    older();
    // The copy goes on with other events, beyond where the rows have come to.
    let mut history = History::going_on(Arc::clone(&copies.older)).await;
    while history.heads().iter().any(|now| now.n <= low.last(now.shard)) {
        history.shop(&[Story::Paid]).await;
    }
    let store = open();
    let mut renewed = applier(&store, &projections, copies.older.store()).await;
    renewed.reconcile(copies.older.as_ref()).await.unwrap();
    assert!(renewed.low().positions().all(|position| position.n == 0));
}

mod sqlite {
    use super::*;
    tests::read_store_contract!(Sqlite::new());
}

mod tantivy {
    use super::*;
    tests::read_store_contract!(Tantivy::new());
}
