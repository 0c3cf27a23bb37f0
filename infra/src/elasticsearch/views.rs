//! Views of an index that searches go on with (Elasticsearch's points in time): the pages of one search are of one view, whatever is
//! written meanwhile. Elasticsearch keeps a view for a while after its last page, and this process a bounded number of them. A page
//! may be asked for in another process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use ::elasticsearch::http::Method;
use ::elasticsearch::http::request::JsonBody;
use serde_json::json;

use super::client::{Answer, Client, Failure};

/// The most views that one process keeps; the one used longest ago goes.
const MOST: usize = 500;
/// How long one is kept after its last page.
pub(super) const KEPT: &str = "2m";

/// The views that this process opened, the one used last at the end.
#[derive(Debug, Clone)]
pub(super) struct Views {
    client: Client,
    held: Arc<Mutex<VecDeque<String>>>,
}

/// A view. Unless a cursor names it, it is closed when it isn't needed any more.
#[derive(Debug)]
pub(super) struct View<'a> {
    views: &'a Views,
    id: String,
    /// A cursor names it.
    kept: bool,
}

impl Views {
    pub(super) fn new(client: Client) -> Self {
        Self { client, held: Arc::default() }
    }

    /// A view of what the index behind an alias shows now.
    pub(super) async fn open(&self, alias: &str) -> Result<View<'_>, Failure> {
        let path = format!("/{alias}/_pit?keep_alive={KEPT}");
        let answer = self.client.ask(Method::Post, &path).await?.ok()?;
        let id = answer["id"].as_str().ok_or_else(|| Failure::Unavailable("a view has no id".to_owned()))?;
        Ok(View { views: self, id: id.to_owned(), kept: false })
    }

    /// The view that a cursor names. It stays as long as Elasticsearch keeps it: the same page may be asked for again.
    pub(super) fn named(&self, id: &str) -> View<'_> {
        View { views: self, id: id.to_owned(), kept: true }
    }

    /// Notes that somebody goes on with a view. `before` is its name until now.
    fn keep(&self, id: String, before: &str) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|held| *held != id && held != before);
        held.push_back(id);
        let oldest = if held.len() > MOST { held.pop_front() } else { None };
        drop(held);
        oldest.into_iter().for_each(|id| self.close(id));
    }

    /// Gives a view back; if that fails, Elasticsearch drops it in a while.
    fn close(&self, id: String) {
        let client = self.client.clone();
        tokio::spawn(async move {
            let body = JsonBody::new(json!({"id": id}));
            if let Err(failure) = client.send(Method::Delete, "/_pit", Some(body)).await.and_then(Answer::ok)
            {
                tracing::debug!(?failure, "a view of the index stays for a while");
            }
        });
    }
}

impl View<'_> {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Keeps the view for another page; its name, which an answer may have changed.
    pub(super) fn keep(mut self, now: Option<&str>) -> String {
        self.kept = true;
        let name = now.unwrap_or(&self.id).to_owned();
        self.views.keep(name.clone(), &self.id);
        name
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.views.close(std::mem::take(&mut self.id));
        }
    }
}
