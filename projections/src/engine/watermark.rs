//! Watermarks: how far queries can see, one per projection and process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::position::{Seen, SyncToken};
use tokio::sync::{Notify, watch};

use crate::engine::mark::Mark;
use crate::engine::read_models::ReadError;

/// How far queries on one projection can see. Cheap to clone; all clones share one state, however many queries wait.
#[derive(Clone)]
pub struct Watermark(Arc<WatermarkShared>);

struct WatermarkShared {
    projection: &'static str,
    visible: watch::Sender<Mark>,
    waiting: AtomicUsize,
    /// Rung when a query begins to wait, for a store that makes things visible on demand.
    wanted: Arc<Notify>,
}

/// Counts a waiting query for as long as it lives, also when the query is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Watermark {
    /// A watermark at `mark`; `wanted` is rung whenever a query begins to wait.
    #[must_use]
    pub fn new(projection: &'static str, mark: Mark, wanted: Arc<Notify>) -> Self {
        Self(Arc::new(WatermarkShared {
            projection,
            visible: watch::Sender::new(mark),
            waiting: AtomicUsize::new(0),
            wanted,
        }))
    }

    /// The projection.
    #[must_use]
    pub fn projection(&self) -> &'static str {
        self.0.projection
    }

    /// The positions that queries see.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.0.visible.borrow().seen.clone()
    }

    /// The same, and of which rows.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.0.visible.borrow().clone()
    }

    /// A receiver that is told of every change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Mark> {
        self.0.visible.subscribe()
    }

    /// Sets what queries see from now on, lower than before included: rows may be begun anew, or put back to an older state.
    pub fn set(&self, mark: &Mark) {
        self.0.visible.send_if_modified(|now| {
            if now == mark {
                return false;
            }
            if now.seen.positions().any(|position| position.n > mark.seen.last(position.shard)) {
                let (projection, before) = (self.0.projection, &now.generation);
                tracing::warn!(projection, %before, now = %mark.generation, "the read model has fallen back");
            }
            now.clone_from(mark);
            true
        });
    }

    /// Claims no more than `mark` says, which may not be visible yet.
    pub fn limit(&self, mark: &Mark) {
        let common = self.mark().common(mark);
        self.set(&common);
    }

    /// Whether a query waits.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.0.waiting.load(Ordering::Relaxed) > 0
    }

    /// Waits until every position of the token is visible.
    ///
    /// # Errors
    /// [`ReadError::Stale`] when that isn't so within `wait`.
    pub async fn wait_for(&self, token: &SyncToken, wait: Duration) -> Result<(), ReadError> {
        let mut visible = self.0.visible.subscribe();
        if visible.borrow_and_update().seen.covers(token) {
            return Ok(());
        }
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.0.waiting);
        self.0.wanted.notify_one();
        match tokio::time::timeout(wait, visible.wait_for(|mark| mark.seen.covers(token))).await {
            Ok(Ok(_)) => Ok(()),
            // The sender lives in `self`, so only time can run out.
            Ok(Err(_)) | Err(_) => {
                Err(ReadError::Stale { model: self.0.projection, token: token.to_string() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::mark::Generation;
    use domain::position::{Position, Shard};

    fn at(n: u64) -> Position {
        Position { shard: Shard(0), n }
    }

    fn mark(generation: &str, n: u64) -> Mark {
        Mark { generation: Generation::named(generation), seen: Seen::up_to(&[at(n)]) }
    }

    fn watermark() -> Watermark {
        Watermark::new("orders", Mark::none(1), Arc::new(Notify::new()))
    }

    async fn waiting(watermark: &Watermark, n: u64) -> tokio::task::JoinHandle<Result<(), ReadError>> {
        let waiting = tokio::spawn({
            let watermark = watermark.clone();
            async move { watermark.wait_for(&SyncToken::of(at(n)), Duration::from_secs(10)).await }
        });
        while !watermark.is_awaited() {
            tokio::task::yield_now().await;
        }
        waiting
    }

    #[tokio::test]
    async fn a_token_waits_until_it_is_visible() {
        // proves: QRY-1
        let watermark = watermark();
        let waiting = waiting(&watermark, 1).await;
        watermark.set(&mark("1", 1));
        assert_eq!(waiting.await.unwrap(), Ok(()));
        assert!(!watermark.is_awaited());
    }

    #[tokio::test]
    async fn a_token_waits_again_once_the_rows_are_begun_anew_or_have_fallen_back() {
        // proves: QRY-1
        let watermark = watermark();
        for lower in [mark("2", 0), mark("1", 3)] {
            watermark.set(&mark("1", 5));
            watermark.wait_for(&SyncToken::of(at(5)), Duration::ZERO).await.unwrap();
            watermark.set(&lower);
            assert_eq!(watermark.mark(), lower);
            let waiting = waiting(&watermark, 5).await;
            watermark.set(&Mark { seen: Seen::up_to(&[at(5)]), ..lower });
            assert_eq!(waiting.await.unwrap(), Ok(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_beyond_the_wait_is_stale() {
        // proves: QRY-1
        let watermark = watermark();
        let answer = watermark.wait_for(&SyncToken::of(at(7)), Duration::from_millis(50)).await;
        assert_eq!(answer, Err(ReadError::Stale { model: "orders", token: "0:7".into() }));
        assert!(!watermark.is_awaited());
    }
}
