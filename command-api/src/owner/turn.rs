//! Turns: so many shards of a process at a time send frames, and so many write derived rows, in the order in which they asked.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// A frame is usually sent in a small part of this time; one that takes longer gives its turn up.
const LONGEST: Duration = Duration::from_millis(250);

/// Work that takes a turn, though not for long: others don't wait for a slot that stays open.
pub(super) async fn within<T>(turn: Option<OwnedSemaphorePermit>, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    match tokio::time::timeout(LONGEST, &mut work).await {
        Ok(done) => done,
        Err(_) => {
            drop(turn);
            work.await
        }
    }
}

/// One shard's turn.
pub(super) struct Turn {
    turns: Arc<Semaphore>,
    asked: Option<BoxFuture<'static, Result<OwnedSemaphorePermit, AcquireError>>>,
    held: Option<OwnedSemaphorePermit>,
}

impl Turn {
    pub(super) fn new(turns: Arc<Semaphore>) -> Self {
        Self { turns, asked: None, held: None }
    }

    /// Whether it is this shard's turn; asks for one otherwise.
    pub(super) fn take(&mut self) -> bool {
        if self.held.is_none() && self.asked.is_none() {
            match Arc::clone(&self.turns).try_acquire_owned() {
                Ok(permit) => self.held = Some(permit),
                Err(_) => self.asked = Some(Box::pin(Arc::clone(&self.turns).acquire_owned())),
            }
        }
        self.held.is_some()
    }

    /// Waits until the turn has come that was asked for; for ever when none was. May be dropped at any time.
    pub(super) async fn come(&mut self) {
        match &mut self.asked {
            // Nobody closes the semaphore.
            Some(asked) => self.held = asked.await.ok(),
            None => return std::future::pending().await,
        }
        self.asked = None;
    }

    /// The turn itself, if it has come; dropped, it is the next shard's. Gives up what was asked for.
    pub(super) fn hand_over(&mut self) -> Option<OwnedSemaphorePermit> {
        self.asked = None;
        self.held.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_come_in_order_and_none_is_lost() {
        let turns = Arc::new(Semaphore::new(1));
        let [mut first, mut second, mut third] = [(); 3].map(|()| Turn::new(Arc::clone(&turns)));
        assert!(first.take() && first.take());
        assert!(!second.take() && !third.take());
        // A wait that is dropped keeps its place.
        assert!(futures::FutureExt::now_or_never(second.come()).is_none());
        assert!(futures::FutureExt::now_or_never(third.come()).is_none());
        drop(first.hand_over());
        assert!(!first.take(), "others have asked before");
        second.come().await;
        assert!(second.take());
        // One that gives up its place doesn't hold up the next.
        assert!(third.hand_over().is_none());
        assert!(second.hand_over().is_some());
        first.come().await;
        assert!(first.take());
    }
}
