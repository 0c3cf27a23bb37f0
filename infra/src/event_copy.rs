//! The copies of the log's events, as whoever compares them with the log sees them.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::position::{Position, Shard};
use futures::stream::{BoxStream, StreamExt as _};
use projections::engine::store::StoreError;
use uuid::Uuid;

/// What a copy yields: positions within the shard with the ids of their events, in order.
pub type Events = BoxStream<'static, Result<(u64, Uuid), StoreError>>;

/// A copy of the log's events, one entry for each.
#[async_trait]
pub trait EventCopy: Send + Sync + 'static {
    /// For people: `kafka`, `postgresql`, …
    fn name(&self) -> &'static str;

    /// The projection that fills it: its dead letters stand for events that the copy lacks. `None` for a transport.
    fn projection(&self) -> Option<&'static str>;

    /// For a transport: of every shard the first and the last position that it has; none for a shard of which it has none.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn spans(&self) -> Result<HashMap<Shard, (u64, u64)>, StoreError> {
        Ok(HashMap::new())
    }

    /// For a transport: whether it has come to this position although its last event is an earlier one. Two publishers at once may repeat
    /// old events after newer ones.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn reaches(&self, _position: Position) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// What it holds of a shard's positions `after + 1` to `through`. A transport may repeat events.
    fn events(&self, shard: Shard, after: u64, through: u64) -> Events;
}

/// Events page by page: `page` answers those after a position, in order, at most as many as it likes; none at the end.
pub fn paged<F>(after: u64, page: impl Fn(u64) -> F + Send + 'static) -> Events
where
    F: Future<Output = Result<Vec<(u64, Uuid)>, StoreError>> + Send + 'static,
{
    let pages = futures::stream::try_unfold((after, page), |(after, page)| async move {
        let events = page(after).await?;
        Ok(events.last().copied().map(|(last, _)| (events, (last, page))))
    });
    pages
        .flat_map(|page: Result<Vec<(u64, Uuid)>, StoreError>| match page {
            Ok(events) => futures::stream::iter(events.into_iter().map(Ok).collect::<Vec<_>>()),
            Err(error) => futures::stream::iter(vec![Err(error)]),
        })
        .boxed()
}
