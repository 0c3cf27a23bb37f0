//! Elasticsearch passes the contract of the search.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use async_trait::async_trait;
use infra::elasticsearch::{ElasticsearchSearch, ElasticsearchStore};
use projections::engine::index::SearchIndex;
use projections::engine::search::TextSearch;
use projections::engine::store::RowStore;
use tests::contract::search::{SearchBackend, SearchFactory};
use tests::elasticsearch::Indices;

struct Elasticsearch {
    store: Arc<ElasticsearchStore>,
    search: Arc<ElasticsearchSearch>,
    indices: Indices,
}

#[async_trait]
impl SearchBackend for Elasticsearch {
    fn store(&self) -> Arc<dyn RowStore> {
        self.store.clone()
    }

    fn search(&self) -> Arc<dyn TextSearch> {
        self.search.clone()
    }

    async fn lose_view(&self, cursor: String) -> String {
        let (view, _): (String, String) = serde_json::from_str(&cursor).unwrap();
        let body = serde_json::json!({"id": view});
        let (status, answer) = self.indices.ask(reqwest::Method::DELETE, "/_pit", Some(body)).await;
        assert_eq!((status, &answer["num_freed"]), (200, &serde_json::json!(1)), "{answer}");
        cursor
    }
}

struct Factory;

#[async_trait]
impl SearchFactory for Factory {
    async fn fresh(&self, _index: &'static SearchIndex) -> Box<dyn SearchBackend> {
        let indices = Indices::default();
        let search = Arc::new(ElasticsearchSearch::new(&indices.url).unwrap());
        Box::new(Elasticsearch { store: indices.store(), search, indices })
    }
}

tests::search_contract!(Factory);
