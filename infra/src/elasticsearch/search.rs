//! Searches of products.

use ::elasticsearch::http::Method;
use ::elasticsearch::http::request::JsonBody;
use async_trait::async_trait;
use projections::catalogue::documents::{INDEX, ProductSearch, SearchHits};
use projections::catalogue::products::{ProductFilter, ProductSort};
use projections::engine::query::Page;
use projections::engine::read_models::ReadError;
use projections::engine::store::StoreError;
use serde_json::Value;

use super::client::{Client, Failure};
use super::kinds::Mapped as _;
use super::url::ElasticsearchUrl;
use super::views::{View, Views};
use super::{hits, query};
use crate::gate::{self, SearchGate};
use crate::product_query::ProductQuery;

/// The question that the products' index answers. It asks through the alias of its own definition, so a replaced index changes nothing
/// for it, and one of another definition isn't asked.
#[derive(Debug, Clone)]
pub struct ElasticsearchSearch {
    client: Client,
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
        let kind = &INDEX;
        let views = Views::new(client.clone(), kind.searched(url, &kind.definition_digest()));
        Ok(Self { client, views, gate: SearchGate::new() })
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
impl ProductSearch for ElasticsearchSearch {
    async fn search(
        &self,
        tenant: &str,
        text: &str,
        filter: &ProductFilter,
        sort: ProductSort,
        page: &Page,
    ) -> Result<SearchHits, ReadError> {
        let mut wanted = ProductQuery::new(text, sort, page)?;
        let body = query::body(tenant, &wanted, filter, page)?;
        let _turn = self.gate.enter().await?;
        let finish = |answer: &Value, wanted: &ProductQuery, view: View<'_>| -> Result<_, ReadError> {
            let (mut hits, end) = hits::hits(answer, wanted, page)?;
            hits.page.next = end.map(|end| wanted.cursor(&view.keep(answer["pit_id"].as_str()), &end));
            Ok(hits)
        };
        if let Some(name) = &wanted.view {
            let view = self.views.named(name);
            if let Some(answer) = self.ask(query::of_view(&body, view.id())).await? {
                return finish(&answer, &wanted, view);
            }
            wanted = wanted.without_view()?;
        }
        let view = self.views.open().await.map_err(|failure| match failure {
            Failure::Lost(_) => ReadError::NotLive { model: INDEX.projection },
            other => other.into(),
        })?;
        let answer = self.ask(query::of_view(&body, view.id())).await?;
        let gone = || ReadError::Unavailable("elasticsearch: a view was gone at once".to_owned());
        finish(&answer.ok_or_else(gone)?, &wanted, view)
    }
}
