//! How far a process's read models are, whatever they are kept in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::position::{Seen, SyncToken};
use projections::engine::mark::Mark;
use projections::engine::read_models::ReadError;
use projections::engine::watermark::Watermark;
use tokio::time::Instant;

/// The watermarks that a process's read models go by, and what their rows must hold.
#[derive(Clone)]
pub(crate) struct Marks {
    of: Arc<BTreeMap<&'static str, Watermark>>,
    needs: Option<(SyncToken, Instant)>,
}

impl Marks {
    pub(crate) fn new(watermarks: impl IntoIterator<Item = Watermark>) -> Self {
        let of = watermarks.into_iter().map(|mark| (mark.projection(), mark)).collect();
        Self { of: Arc::new(of), needs: None }
    }

    /// See [`ReadModels::after`](projections::engine::read_models::ReadModels::after).
    pub(crate) fn after(&self, token: &SyncToken, until: Instant) -> Self {
        Self { of: Arc::clone(&self.of), needs: Some((token.clone(), until)) }
    }

    /// What the rows of an answer must hold.
    pub(crate) fn needs(&self) -> Option<SyncToken> {
        self.needs.as_ref().map(|(token, _)| token.clone())
    }

    pub(crate) async fn wait_for(
        &self,
        projection: &'static str,
        token: &SyncToken,
        wait: Duration,
    ) -> Result<(), ReadError> {
        match self.of.get(projection) {
            Some(mark) => mark.wait_for(token, wait).await,
            None => Err(ReadError::Unavailable(format!(
                "nobody tells here how far the projection {projection} is"
            ))),
        }
    }

    pub(crate) fn seen(&self, projection: &'static str) -> Seen {
        self.of.get(projection).map_or_else(|| Seen::none(0), Watermark::seen)
    }

    /// Rows were read that are behind what is needed, whatever was told of them before: waits until more is told.
    pub(crate) async fn fallen(&self, projection: &'static str, mark: &Mark) -> Result<(), ReadError> {
        let Some((token, until)) = &self.needs else { return Ok(()) };
        if let Some(known) = self.of.get(projection) {
            known.set(mark);
        }
        self.wait_for(projection, token, until.saturating_duration_since(Instant::now())).await
    }
}
