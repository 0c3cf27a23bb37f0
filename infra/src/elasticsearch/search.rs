//! Searches.

use ::elasticsearch::http::Method;
use ::elasticsearch::http::request::JsonBody;
use async_trait::async_trait;
use projections::engine::read_models::ReadError;
use projections::engine::search::{Found, Search, TextSearch};
use projections::engine::store::StoreError;
use serde_json::Value;

use super::client::{Client, Failure};
use super::mapping::Mapped as _;
use super::url::ElasticsearchUrl;
use super::views::{View, Views};
use super::{hits, query};
use crate::gate::{self, SearchGate};
use crate::text_query::TextQuery;

/// The questions that indices answer. They are asked through the aliases of their definitions, so a replaced index changes nothing, and
/// one of another definition isn't asked.
#[derive(Debug, Clone)]
pub struct ElasticsearchSearch {
    client: Client,
    url: ElasticsearchUrl,
    views: Views,
    gate: SearchGate,
}

impl ElasticsearchSearch {
    /// Searches of the indices that a URL names.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no client can be made for the URL.
    pub fn new(url: &ElasticsearchUrl) -> Result<Self, StoreError> {
        let client = Client::new(url)?;
        let views = Views::new(client.clone());
        Ok(Self { client, url: url.clone(), views, gate: SearchGate::new() })
    }

    /// The answer of a view; `None` when it isn't kept any more. Elasticsearch cancels the search when this is dropped, by the
    /// connection that ends.
    async fn ask(&self, body: Value) -> Result<Option<Value>, ReadError> {
        let asked = self.client.send(Method::Post, "/_search", Some(JsonBody::new(body)));
        let answer = tokio::time::timeout(gate::TIME, asked).await;
        let answer = answer.map_err(|_| ReadError::Overloaded)??;
        match answer.status {
            // It was closed, or Elasticsearch has started again, or the index is gone.
            404 => Ok(None),
            429 => Err(ReadError::Overloaded),
            _ => Ok(Some(answer.ok()?)),
        }
    }
}

#[async_trait]
impl TextSearch for ElasticsearchSearch {
    async fn search(&self, search: &Search) -> Result<Found, ReadError> {
        let (mut wanted, index) = (TextQuery::new(search)?, search.index);
        let body = query::body(&wanted)?;
        let _turn = self.gate.enter().await?;
        let finish = |answer: &Value, wanted: &TextQuery, view: View<'_>| -> Result<_, ReadError> {
            let (mut found, end) = hits::hits(answer, wanted)?;
            found.next = end.map(|end| search.cursor(&view.keep(answer["pit_id"].as_str()), &end));
            Ok(found)
        };
        if let Some(name) = &wanted.view {
            let view = self.views.named(name);
            if let Some(answer) = self.ask(query::of_view(&body, view.id())).await? {
                return finish(&answer, &wanted, view);
            }
            wanted = wanted.without_view()?;
        }
        let searched = index.searched(&self.url, &index.definition_digest());
        let view = self.views.open(&searched).await.map_err(|failure| match failure {
            Failure::Lost(_) => ReadError::NotLive { model: index.projection },
            other => other.into(),
        })?;
        let answer = self.ask(query::of_view(&body, view.id())).await?;
        let gone = || ReadError::Unavailable("elasticsearch: a view was gone at once".to_owned());
        finish(&answer.ok_or_else(gone)?, &wanted, view)
    }
}
