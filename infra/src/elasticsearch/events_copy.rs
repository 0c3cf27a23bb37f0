//! The index of events as a copy of the log's events.

use ::elasticsearch::http::Method;
use domain::position::Shard;
use projections::audit::documents::INDEX;
use projections::engine::store::StoreError;
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::{Client, Failure};
use super::mapping::Mapped as _;
use super::url::ElasticsearchUrl;
use crate::event_copy::{EventCopy, Events, paged};

/// Documents of one answer.
const PAGE: usize = 2_000;

/// The copy behind the alias `<prefix>-events`.
pub struct ElasticsearchEvents {
    client: Client,
    alias: String,
}

impl ElasticsearchEvents {
    /// Of the indices at a URL.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no client can be made for the URL.
    pub fn new(url: &ElasticsearchUrl) -> Result<Self, StoreError> {
        Ok(Self { client: Client::new(url)?, alias: INDEX.alias(url) })
    }
}

impl EventCopy for ElasticsearchEvents {
    fn name(&self) -> &'static str {
        "elasticsearch"
    }

    fn projection(&self) -> Option<&'static str> {
        Some(INDEX.projection)
    }

    fn events(&self, shard: Shard, after: u64, through: u64) -> Events {
        let (client, alias, first) = (self.client.clone(), self.alias.clone(), after);
        paged(after, move |after| {
            let (client, alias) = (client.clone(), alias.clone());
            async move {
                if after == first {
                    client.ask(Method::Post, &format!("/{alias}/_refresh")).await?.ok()?;
                }
                let body = json!({
                    "size": PAGE, "_source": ["n", "event_id"], "sort": [{"n": "asc"}],
                    "query": {"bool": {"filter": [
                        {"term": {"doc_type": INDEX.document}}, {"term": {"shard": shard.0}},
                        {"range": {"n": {"gt": after, "lte": through}}},
                    ]}},
                });
                let answer = client.post(&format!("/{alias}/_search"), body).await?;
                let hits = answer["hits"]["hits"].as_array().map(Vec::as_slice).unwrap_or_default();
                let event = |hit: &Value| {
                    let source = &hit["_source"];
                    let id = source["event_id"].as_str().and_then(|id| Uuid::parse_str(id).ok());
                    let read = source["n"].as_u64().zip(id);
                    read.ok_or_else(|| Failure::Unavailable(format!("a document of {alias} can't be read")))
                };
                Ok(hits.iter().map(event).collect::<Result<Vec<_>, Failure>>()?)
            }
        })
    }
}
