//! Watermarks: how far queries can see, one per projection and process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::position::{Seen, SyncToken};
use tokio::sync::{Notify, watch};

use crate::read_models::ReadError;

/// How far queries on one projection can see. Cheap to clone; all clones share one state, however many queries wait.
#[derive(Clone)]
pub struct Watermark(Arc<Shared>);

struct Shared {
    projection: &'static str,
    visible: watch::Sender<Seen>,
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
    /// A watermark at `seen`; `wanted` is rung whenever a query begins to wait.
    #[must_use]
    pub fn new(projection: &'static str, seen: Seen, wanted: Arc<Notify>) -> Self {
        Self(Arc::new(Shared {
            projection,
            visible: watch::Sender::new(seen),
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
        self.0.visible.borrow().clone()
    }

    /// A receiver that is told of every change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Seen> {
        self.0.visible.subscribe()
    }

    /// Records what queries see from now on. It never goes back: what was seen stays seen.
    pub fn advance(&self, seen: &Seen) {
        self.0.visible.send_if_modified(|now| {
            let mut changed = false;
            for position in seen.positions() {
                if position.n > now.last(position.shard) {
                    now.advance(position);
                    changed = true;
                }
            }
            changed
        });
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
        if visible.borrow_and_update().covers(token) {
            return Ok(());
        }
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.0.waiting);
        self.0.wanted.notify_one();
        match tokio::time::timeout(wait, visible.wait_for(|seen| seen.covers(token))).await {
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
    use domain::position::{Position, Shard};

    fn at(n: u64) -> Position {
        Position { shard: Shard(0), n }
    }

    #[tokio::test]
    async fn a_token_waits_until_it_is_visible() {
        // proves: QRY-1
        let mark = Watermark::new("orders", Seen::none(1), Arc::new(Notify::new()));
        let token = SyncToken::of(at(1));
        let waiting = tokio::spawn({
            let (mark, token) = (mark.clone(), token.clone());
            async move { mark.wait_for(&token, Duration::from_secs(10)).await }
        });
        while !mark.is_awaited() {
            tokio::task::yield_now().await;
        }
        let mut seen = Seen::none(1);
        seen.advance(at(1));
        mark.advance(&seen);
        assert_eq!(waiting.await.unwrap(), Ok(()));
        assert!(!mark.is_awaited());
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_beyond_the_wait_is_stale() {
        // proves: QRY-1
        let mark = Watermark::new("orders", Seen::none(1), Arc::new(Notify::new()));
        let answer = mark.wait_for(&SyncToken::of(at(7)), Duration::from_millis(50)).await;
        assert_eq!(answer, Err(ReadError::Stale { model: "orders", token: "0:7".into() }));
        assert!(!mark.is_awaited());
    }
}
