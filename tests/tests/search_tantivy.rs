//! Tantivy passes the contract of the search.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use async_trait::async_trait;
use infra::sqlite::read_store::SqliteReadStore;
use infra::tantivy::TantivySearch;
use projections::engine::index::SearchIndex;
use projections::engine::search::TextSearch;
use projections::engine::store::RowStore;
use tempfile::TempDir;
use tests::contract::search::{SearchBackend, SearchFactory};

struct Tantivy {
    index: Arc<TantivySearch>,
    _dir: TempDir,
}

#[async_trait]
impl SearchBackend for Tantivy {
    fn store(&self) -> Arc<dyn RowStore> {
        self.index.clone()
    }

    fn search(&self) -> Arc<dyn TextSearch> {
        self.index.clone()
    }

    async fn lose_view(&self, cursor: String) -> String {
        // As one that another process has made.
        let (view, end): (String, String) = serde_json::from_str(&cursor).unwrap();
        let (_, number) = view.split_once('/').unwrap();
        serde_json::json!([format!("{}/{number}", uuid::Uuid::new_v4().simple()), end]).to_string()
    }
}

struct Factory;

#[async_trait]
impl SearchFactory for Factory {
    async fn fresh(&self, index: &'static SearchIndex) -> Box<dyn SearchBackend> {
        let dir = tempfile::tempdir().unwrap();
        let letters = Arc::new(SqliteReadStore::open(dir.path()).unwrap());
        Box::new(Tantivy { index: Arc::new(TantivySearch::new(index, dir.path(), letters)), _dir: dir })
    }
}

tests::search_contract!(Factory);
