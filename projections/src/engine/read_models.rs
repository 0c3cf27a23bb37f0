//! The read models' query port: what the query side asks, whatever the database.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::Timestamp;
use domain::position::{Position, Seen, SyncToken};
use domain::stream::StreamId;
use tokio::time::Instant;
use uuid::Uuid;

use super::events::{EventFilter, EventPage};
use super::query::{Listed, Page, Row, Select};
use super::sagas::{SagaFilter, SagaRow};

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The read model has not seen the token's positions within the wait: repeat later.
    #[error("the read model {model} has not seen {token} yet")]
    Stale {
        /// The projection.
        model: &'static str,
        /// What was waited for.
        token: String,
    },
    /// This program's version of the read model isn't the live one, and the live one has other columns: repeat later, or ask a process
    /// of that version.
    #[error(
        "this program's version of the read model {model} is not live: it is still being filled, or was replaced"
    )]
    NotLive {
        /// The projection.
        model: &'static str,
    },
    /// [`Page::after`] is not one that this question's [`Listed::next`] made.
    #[error("the cursor doesn't belong to this list")]
    BadCursor,
    /// [`Page::after`] names a view of the index that isn't kept any more: begin at the first page.
    #[error("the search that the cursor goes on with isn't kept any more; begin at the first page")]
    Expired,
    /// Others ask so much that it is not this question's turn in time: repeat later.
    #[error("too many searches at once")]
    Overloaded,
    /// Storage can't answer: repeat later.
    #[error("the read model is unavailable: {0}")]
    Unavailable(String),
}

/// The questions that the query side asks. Every answer is at least as new as the projection's last applied batch.
#[async_trait]
pub trait ReadModels: Send + Sync + 'static {
    /// Waits until the projection has seen the token's positions, visibly for queries.
    ///
    /// # Errors
    /// [`ReadError::Stale`] when it hasn't within `wait`.
    async fn wait_for(
        &self,
        projection: &'static str,
        token: &SyncToken,
        wait: Duration,
    ) -> Result<(), ReadError>;

    /// The same questions, asked only of rows that hold the token's positions: an answer and the positions that its rows hold are of
    /// one snapshot, and it waits until `until` for such a one. What was seen a moment ago needn't be there any more: rows are begun
    /// anew, and put back to an older state.
    fn after(self: Arc<Self>, token: &SyncToken, until: Instant) -> Arc<dyn ReadModels>;

    /// The positions that the projection has seen, in shard order.
    fn seen(&self, projection: &'static str) -> Seen;

    /// Whether the stream is parked in the projection: its rows are older than the log and stay so until redriven.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`], here and below.
    async fn is_parked(&self, projection: &'static str, stream: &StreamId) -> Result<bool, ReadError>;

    /// The rows that a question asks for.
    ///
    /// # Errors
    /// Also [`ReadError::NotLive`].
    async fn select(&self, select: &Select) -> Result<Vec<Row>, ReadError>;

    /// The saga of an order; work that was due before `overdue` is older than its bound.
    async fn saga(&self, tenant: &str, order: Uuid, overdue: Timestamp)
    -> Result<Option<SagaRow>, ReadError>;

    /// Sagas in the order in which they began.
    async fn sagas(
        &self,
        tenant: &str,
        filter: &SagaFilter,
        page: &Page,
    ) -> Result<Listed<SagaRow>, ReadError>;

    /// Events of a tenant that match, from position `from` on (inclusive; shards in order, positions in order), none above the
    /// pinned `heads`. What it costs is bounded, however few match: then the page is cut, and says where it goes on.
    async fn events(
        &self,
        tenant: &str,
        filter: &EventFilter,
        from: Position,
        heads: &Seen,
        limit: usize,
    ) -> Result<EventPage, ReadError>;
}
