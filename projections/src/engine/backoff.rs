//! Pauses between retries of failing storage: short at first, then longer, bounded; a shutdown ends them.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// The next pause and the longest one.
pub(crate) struct Backoff {
    next: Duration,
    bound: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(10);

    pub(crate) fn new(bound: Duration) -> Self {
        Self { next: Self::FIRST, bound }
    }

    pub(crate) fn reset(&mut self) {
        self.next = Self::FIRST;
    }

    /// Pauses as after a first failure, which must not hold up what goes on; true when the shutdown came first.
    pub(crate) async fn pause_first(&mut self, shutdown: &CancellationToken) -> bool {
        self.reset();
        self.pause(shutdown).await
    }

    /// Pauses; true when the shutdown came first.
    pub(crate) async fn pause(&mut self, shutdown: &CancellationToken) -> bool {
        let pause = self.next.min(self.bound);
        self.next = (pause * 2).min(self.bound);
        tokio::select! {
            () = shutdown.cancelled() => true,
            () = tokio::time::sleep(pause) => false,
        }
    }
}
