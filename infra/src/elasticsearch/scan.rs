//! Reading all documents of an index, in order of the key, as of one instant.

use std::collections::VecDeque;

use ::elasticsearch::http::Method;
use ::elasticsearch::http::request::JsonBody;
use domain::merkle::Hash;
use projections::engine::digest::RowDigest;
use projections::engine::index::SearchIndex;
use projections::engine::store::StoreError;
use serde_json::{Value, json};

use super::client::{Answer, Client, Failure};
use super::parts::every;
use crate::search_document::Document;

/// Documents in one request; each may have some ten kilobytes.
const PAGE: usize = 500;
/// How long the view is kept between two requests.
const KEEP: &str = "1m";

/// Documents, one after the other, of a view that stays as it is while others write.
pub(super) struct Scan<'a> {
    client: &'a Client,
    kind: &'static SearchIndex,
    view: String,
    after: Option<Value>,
    page: VecDeque<Document>,
    ended: bool,
}

impl<'a> Scan<'a> {
    /// A scan of everything refreshed in a generation.
    pub(super) async fn open(
        client: &'a Client,
        kind: &'static SearchIndex,
        generation: &str,
    ) -> Result<Self, Failure> {
        let path = format!("/{}/_pit?keep_alive={KEEP}", every(generation));
        let answer = client.ask(Method::Post, &path).await?.ok()?;
        let view = answer["id"].as_str().unwrap_or_default().to_owned();
        Ok(Self { client, kind, view, after: None, page: VecDeque::new(), ended: false })
    }

    /// The next document.
    pub(super) async fn next(&mut self) -> Result<Option<Document>, StoreError> {
        if self.page.is_empty() && !self.ended {
            self.load().await?;
        }
        Ok(self.page.pop_front())
    }

    async fn load(&mut self) -> Result<(), StoreError> {
        let sort: Vec<Value> = self.kind.table.key.iter().map(|column| json!({column.name: "asc"})).collect();
        let mut body = json!({
            "size": PAGE,
            "pit": {"id": self.view, "keep_alive": KEEP},
            "query": {"term": {"doc_type": self.kind.document}},
            "sort": sort,
            "track_total_hits": false,
        });
        if let Some(after) = &self.after {
            body["search_after"] = after.clone();
        }
        let answer = self.client.post("/_search", body).await?;
        let hits = answer["hits"]["hits"].as_array().map(Vec::as_slice).unwrap_or_default();
        self.ended = hits.len() < PAGE;
        self.after = hits.last().map(|hit| hit["sort"].clone());
        for hit in hits {
            self.page.push_back(Document::from_source(self.kind, &hit["_source"])?);
        }
        Ok(())
    }

    /// Gives the view back.
    pub(super) async fn close(self) -> Result<(), Failure> {
        let body = JsonBody::new(json!({"id": self.view}));
        self.client.send(Method::Delete, "/_pit", Some(body)).await.and_then(Answer::ok).map(|_| ())
    }
}

/// The digest over a generation's documents.
pub(super) async fn digest(
    client: &Client,
    kind: &'static SearchIndex,
    generation: &str,
) -> Result<Hash, StoreError> {
    let mut scan = Scan::open(client, kind, generation).await?;
    let mut digest = RowDigest::default();
    digest.table(kind.table.name);
    while let Some(document) = scan.next().await? {
        document.add_to(kind, &mut digest);
    }
    scan.close().await?;
    Ok(digest.finish())
}
