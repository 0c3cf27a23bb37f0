//! Readiness of the cluster, and the indices before the first event.

use std::sync::Arc;

use domain::ports::log::LogReader;
use projections::model::Projection;
use projections::search::Search;
use projections::search::events::SearchEvents;
use projections::search::orders::SearchOrders;
use projections::store::{DeadLetters, RowStore, StoreError};

use super::client::Client;
use super::store::ElasticsearchStore;
use super::url::ElasticsearchUrl;

/// What the cluster says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// `green`, `yellow` or `red`.
    pub status: String,
    /// Data nodes.
    pub nodes: u64,
}

impl Health {
    /// Whether every index can be read and written.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.status.as_str(), "green" | "yellow")
    }
}

/// Asks the cluster how it is.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn health(url: &ElasticsearchUrl) -> Result<Health, StoreError> {
    let answer = Client::new(url)?.get("/_cluster/health").await?;
    Ok(Health {
        status: answer["status"].as_str().unwrap_or("unknown").to_owned(),
        nodes: answer["number_of_data_nodes"].as_u64().unwrap_or_default(),
    })
}

/// Makes the indices and aliases that aren't there; an index of another version is left to the servers, which fill another one beside
/// it. In a store with events a new index is only shown when a server has filled it.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn migrate(
    url: &ElasticsearchUrl,
    letters: Arc<dyn DeadLetters>,
    log: Arc<dyn LogReader>,
) -> Result<(), StoreError> {
    let shards = log.store().shards;
    ElasticsearchStore::new(url, letters, log)?.prepare(&projections(), shards).await
}

/// The projections that Elasticsearch holds.
#[must_use]
pub fn projections() -> [Arc<dyn Projection>; 3] {
    [Arc::new(Search), Arc::new(SearchOrders), Arc::new(SearchEvents)]
}
