//! Readiness of the cluster, and whose the indices are.

use std::sync::Arc;

use domain::ports::log::StoreInfo;
use projections::engine::index::SearchIndex;
use projections::engine::model::Projection;
use projections::engine::store::StoreError;

use super::client::Client;
use super::generations::{Generation, IndexPlace};
use super::mapping::indices;
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

/// Refuses indices that were made from another store's log; makes nothing.
///
/// # Errors
/// [`StoreError::OtherLog`]; [`StoreError::Unavailable`].
pub async fn refuse_other(
    url: &ElasticsearchUrl,
    documents: &[Arc<dyn Projection>],
    log: StoreInfo,
) -> Result<(), StoreError> {
    let client = Client::new(url)?;
    for kind in indices(documents) {
        let all = IndexPlace { client: &client, url, kind }.list().await?;
        all.iter().filter(|generation| generation.live).try_for_each(|live| live.belongs_to(log.id))?;
    }
    Ok(())
}

/// An index that was made from some log.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn made_from_a_log(
    url: &ElasticsearchUrl,
    documents: &[Arc<dyn Projection>],
) -> Result<Option<String>, StoreError> {
    let client = Client::new(url)?;
    for kind in indices(documents) {
        let all = IndexPlace { client: &client, url, kind }.list().await?;
        let made =
            |generation: &Generation| generation.stamp.as_ref().is_some_and(|stamp| stamp.log.is_some());
        if let Some(made) = all.into_iter().find(made) {
            return Ok(Some(made.name));
        }
    }
    Ok(None)
}

/// Whether there is an index, live or to be.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn is_made(url: &ElasticsearchUrl, kind: &'static SearchIndex) -> Result<bool, StoreError> {
    let client = Client::new(url)?;
    Ok(!IndexPlace { client: &client, url, kind }.list().await?.is_empty())
}
