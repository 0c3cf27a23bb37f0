//! Writing derived rows behind the frames.

use std::sync::Arc;
use std::time::Duration;

use domain::pauses::Pauses;

use super::FrameLoop;

/// Derived rows are written in batches behind, so that they take little from the frames: at so many bytes of frames, or after
/// [`derive_within`](crate::owner::OwnerConfig::derive_within), …
const DERIVE_AT: usize = 256 << 10;
/// … and about so many bytes of frames at a time.
const DERIVE_BYTES: usize = 4 << 20;

impl FrameLoop {
    /// Starts writing derived rows when they are many, and sees to it that a few don't wait for long.
    pub(super) fn derive_when_due(&mut self) {
        if self.deriving.is_some() {
            return;
        }
        let bytes = self.overlay.outstanding_bytes();
        if bytes >= DERIVE_AT || (self.derive_due && bytes > 0) {
            // One that is far behind doesn't wait for the others.
            if bytes >= DERIVE_BYTES || self.derive_turn.take() {
                self.start_deriving();
            }
        } else if bytes > 0 && self.derive_by.is_none() {
            self.derive_by = Some(Box::pin(tokio::time::sleep(self.shared.config.derive_within)));
        }
    }

    /// Starts writing derived rows behind, one batch at a time.
    fn start_deriving(&mut self) {
        (self.derive_by, self.derive_due) = (None, false);
        let frames = self.overlay.outstanding(DERIVE_BYTES);
        let Some(last) = frames.last().map(|frame| frame.header.slot.frame) else { return };
        let figures = Arc::clone(&self.figures);
        let (shared, shard, mut turn) = (Arc::clone(&self.shared), self.shard, self.derive_turn.hand_over());
        self.deriving = Some(Box::pin(async move {
            let mut pauses = Pauses::new(Duration::from_millis(10), Duration::from_secs(5));
            while let Err(error) = shared.log.write_derived(shard, &frames).await {
                // The others don't wait for one that fails.
                drop(turn.take());
                figures.derived(Err(error.to_string()));
                tracing::warn!(%shard, %error, "derived rows could not be written, trying again");
                tokio::time::sleep(pauses.further()).await;
            }
            figures.derived(Ok(()));
            last
        }));
    }

    /// Writes what is outstanding before a stop, within the time a stop may take; the rest is rework for the next owner.
    pub(super) async fn finish_deriving(&mut self) {
        let within = self.shared.config.stop_within;
        let finished = tokio::time::timeout(within, async {
            loop {
                if self.deriving.is_none() {
                    self.start_deriving();
                }
                let Some(deriving) = self.deriving.take() else { break };
                let frame = deriving.await;
                self.overlay.acknowledge(frame);
            }
            self.snapshots.finish(self.overlay.derived_through()).await;
        });
        if finished.await.is_err() {
            tracing::warn!(shard = %self.shard, "stopped with derived rows outstanding; the next start writes them");
        }
    }
}
