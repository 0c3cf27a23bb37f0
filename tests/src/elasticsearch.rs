//! Indices of a test's own, which go when it ends, and looks into them with none of our code.

use std::sync::Arc;

use domain::ports::log::LogReader;
use infra::elasticsearch::{ElasticsearchStore, ElasticsearchUrl};
use infra::sqlite::log::SqliteLog;
use infra::sqlite::read_store::SqliteReadStore;
use projections::engine::store::DeadLetters;
use serde_json::Value;
use tempfile::TempDir;

use crate::contract::read_store::SHARDS;
use crate::engines::{engines, fresh_name};

/// Indices with a prefix of their own, and dead letters in a directory.
pub struct Indices {
    /// Where they are.
    pub url: ElasticsearchUrl,
    dir: TempDir,
    /// Empty: they are never filled in place of lost ones.
    log: Arc<SqliteLog>,
}

impl Default for Indices {
    fn default() -> Self {
        let base: ElasticsearchUrl = engines().elasticsearch.parse().expect("a url");
        let url = base.with_prefix(&fresh_name()).expect("a prefix");
        let dir = tempfile::tempdir().expect("a directory");
        let log = Arc::new(SqliteLog::open(dir.path(), SHARDS).expect("a log"));
        Self { url, dir, log }
    }
}

impl Indices {
    /// Their dead letters.
    ///
    /// # Panics
    /// When they can't be opened, as below.
    #[must_use]
    pub fn letters(&self) -> Arc<dyn DeadLetters> {
        Arc::new(SqliteReadStore::open(self.dir.path()).expect("a store of dead letters"))
    }

    /// A store of them.
    #[must_use]
    pub fn store(&self) -> Arc<ElasticsearchStore> {
        self.store_over(self.log.clone())
    }

    /// A store of them that holds what this log has.
    #[must_use]
    pub fn store_over(&self, log: Arc<dyn LogReader>) -> Arc<ElasticsearchStore> {
        Arc::new(self.opened(log))
    }

    fn opened(&self, log: Arc<dyn LogReader>) -> ElasticsearchStore {
        let documents = infra::shop::projections().documents;
        ElasticsearchStore::new(&self.url, &documents, self.letters(), log).expect("a store")
    }

    /// A store of them whose index of events gets another part at every refresh that finds so many bytes.
    #[must_use]
    pub fn store_with_large_parts(&self, bytes: u64) -> Arc<ElasticsearchStore> {
        Arc::new(self.opened(self.log.clone()).with_large_parts(bytes))
    }

    /// The name of an index or alias of theirs.
    #[must_use]
    pub fn name(&self, rest: &str) -> String {
        format!("{}-{rest}", self.url.prefix())
    }

    /// Sends a request to the cluster.
    pub async fn ask(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let request = reqwest::Client::new().request(method, format!("{}{path}", engines().elasticsearch));
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    }

    /// The physical indices behind an alias, in order.
    pub async fn behind(&self, alias: &str) -> Vec<String> {
        let path = format!("/_alias/{}", self.name(alias));
        let (_, answer) = self.ask(reqwest::Method::GET, &path, None).await;
        let names = answer.as_object().into_iter().flatten();
        let mut names: Vec<String> =
            names.filter(|(_, index)| index["aliases"].is_object()).map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    /// All physical indices of theirs, in order.
    pub async fn all(&self) -> Vec<String> {
        let (_, answer) = self.ask(reqwest::Method::GET, &format!("/{}-*", self.url.prefix()), None).await;
        let mut names: Vec<String> =
            answer.as_object().into_iter().flatten().map(|(n, _)| n.clone()).collect();
        names.sort();
        names
    }
}

/// Drops the indices, from a thread of its own: a test may end in a panic, within a runtime.
impl Drop for Indices {
    fn drop(&mut self) {
        let prefix = self.url.prefix().to_owned();
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let base = &engines().elasticsearch;
                let client = reqwest::Client::new();
                let answer = client.get(format!("{base}/{prefix}-*")).send().await;
                let all: Value =
                    answer.map_err(std::io::Error::other)?.json().await.map_err(std::io::Error::other)?;
                for name in all.as_object().into_iter().flatten().map(|(name, _)| name) {
                    client.delete(format!("{base}/{name}")).send().await.map_err(std::io::Error::other)?;
                }
                Ok::<_, std::io::Error>(())
            })
        });
        if !matches!(dropping.join(), Ok(Ok(()))) {
            tracing::warn!("the indices {}-* are left behind", self.url.prefix());
        }
    }
}
