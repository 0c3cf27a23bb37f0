//! Getting along with programs of other versions: whose rows are live, and who feeds them.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Due, Request, RunnerTask};
use crate::engine::store::{StoreError, Visibility};

/// How often it looks whether rows of another version were replaced by its own.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Nobody else reads a shared feed when nothing moves for so long though there is something to apply.
const OTHERS_WITHIN: Duration = Duration::from_secs(5);

impl RunnerTask {
    pub(super) async fn answer(&mut self, request: Request) {
        let answer = self.redrive(&request.projection).await;
        // Nobody to answer: the caller gave up; the work is done all the same.
        let _ = request.reply.send(answer);
    }

    /// Leaves a shared feed to others while live rows are of another version, which programs of that version feed: of the shards that
    /// came here they would get nothing. As long as they get on; where nothing here is to be applied, until something is.
    pub(super) async fn stand_by(&mut self, inbox: &mut mpsc::Receiver<Request>) {
        let (mut low, mut moved_at) = (self.applier.low(), Instant::now());
        while self.applier.has_foreign() && (self.parts.feed.is_shared() || self.applier.is_idle()) {
            tokio::select! {
                () = self.parts.shutdown.cancelled() => return,
                Some(request) = inbox.recv() => self.answer(request).await,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            if let Err(error) = self.applier.reload().await {
                self.report(Some(error.to_string()), None);
                continue;
            }
            self.looked();
            let now = self.applier.low();
            let behind = self.parts.feed.heads().iter().any(|head| head.n > now.last(head.shard));
            if now != low || !behind {
                (low, moved_at) = (now, Instant::now());
            } else if moved_at.elapsed() >= OTHERS_WITHIN && !self.applier.is_idle() {
                return;
            }
        }
    }

    pub(super) async fn look_again(&mut self) -> Result<bool, StoreError> {
        self.look_again_at = Instant::now() + LOOK_AGAIN;
        let goes_on = self.applier.look_again().await?;
        self.looked();
        Ok(goes_on)
    }

    /// The store was looked at anew: what is visible of it is known after the next publication.
    pub(super) fn looked(&mut self) {
        self.limit();
        self.due = Some(Due { at: Instant::now(), visibility: Visibility::Pending });
        self.report(None, self.pending_since);
    }

    /// Claims no more than what was loaded; what of it is visible is known after the next publication.
    pub(super) fn limit(&self) {
        for (mark, lane) in self.watermarks.iter().zip(self.applier.lanes()) {
            mark.limit(&lane.mark());
        }
    }
}
