//! Searches of products.

use async_trait::async_trait;
use projections::read_models::{Page, ProductFilter, ProductSearch, ProductSort, ReadError, SearchHits};
use projections::store::StoreError;

use super::client::{Client, Failure};
use super::kinds::Kind;
use super::url::ElasticsearchUrl;
use super::{hits, query};
use crate::product_query::ProductQuery;

/// The question that the products' index answers. It asks through the alias of its own definition, so a replaced index changes nothing
/// for it, and one of another definition isn't asked.
#[derive(Debug, Clone)]
pub struct ElasticsearchSearch {
    client: Client,
    alias: String,
}

impl ElasticsearchSearch {
    /// Searches of the indices that a URL names.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no client can be made for the URL.
    pub fn new(url: &ElasticsearchUrl) -> Result<Self, StoreError> {
        let kind = Kind::products();
        Ok(Self { client: Client::new(url)?, alias: kind.searched(url, &kind.definition_digest()) })
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
        let wanted = ProductQuery::new(text, sort, page)?;
        let body = query::body(tenant, &wanted, filter, page)?;
        // Copies of a shard may score differently by the documents that they haven't merged away yet: all pages of a question go
        // to the same one.
        let copy = tenant
            .bytes()
            .chain(text.bytes())
            .fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        let path = format!("/{}/_search?preference=question{}", self.alias, copy % 64);
        let answer = self.client.post(&path, body).await.map_err(|failure| match failure {
            Failure::Lost(_) => ReadError::NotLive { model: Kind::products().projection },
            other => other.into(),
        })?;
        hits::hits(&answer, &wanted, page)
    }
}
