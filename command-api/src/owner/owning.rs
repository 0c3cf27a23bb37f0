//! The task that owns one shard: runs its loop, and takes the shard over again where that is the policy.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use domain::command::CommandError;
use domain::pauses::Pauses;
use domain::position::Shard;
use futures::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::OwnerShared;
use super::config::OnDeposed;
use super::frame_loop::{Ended, FrameLoop};
use super::job::Job;
use super::places::Places;
use super::takeover::{Takeover, take_over};

/// Between attempts to take a shard over again.
const PAUSES: Pauses = Pauses::new(Duration::from_millis(50), Duration::from_secs(5));

/// Whatever ends the task: its place is free afterwards, and then its end is told.
pub(super) struct Leaving {
    places: Arc<Places>,
    shard: Shard,
    ended: CancellationToken,
    left: bool,
}

impl Leaving {
    pub(super) fn new(places: Arc<Places>, shard: Shard, ended: CancellationToken) -> Self {
        Self { places, shard, ended, left: false }
    }

    /// Once: afterwards the place may be another owner's.
    fn leave(&mut self) {
        if !std::mem::replace(&mut self.left, true) {
            self.places.leave(self.shard);
        }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.leave();
        self.ended.cancel();
    }
}

/// Owns a shard until told to stop, or deposed where that is the end of it.
pub(super) async fn own(
    shared: Arc<OwnerShared>,
    mut leaving: Leaving,
    takeover: Takeover,
    mut queue: mpsc::Receiver<Job>,
    head: watch::Sender<u64>,
    stop: CancellationToken,
) {
    let shard = leaving.shard;
    let mut start = Some(takeover);
    let mut pauses = PAUSES;
    while let Some(takeover) = start.take() {
        let mut frames = FrameLoop::new(Arc::clone(&shared), shard, takeover, head.clone());
        let ended = AssertUnwindSafe(frames.run(&mut queue, &stop)).catch_unwind().await;
        drop(frames);
        shared.figures(shard).ended();
        match ended {
            Ok(Ended::Stopped) => return,
            Ok(Ended::Deposed) if shared.config.on_deposed == OnDeposed::Stop => break,
            Ok(Ended::Deposed) => {}
            // Its callers learn that the outcome is unknown; the log tells the next takeover what was decided.
            Err(_) => tracing::error!(%shard, "the frame loop panicked; taking the shard over again"),
        }
        while start.is_none() && !stop.is_cancelled() {
            refuse_queued(&mut queue, shard);
            tokio::select! {
                () = tokio::time::sleep(pauses.further()) => {}
                () = stop.cancelled() => break,
            }
            let taking = AssertUnwindSafe(take_over(&shared, shard)).catch_unwind();
            let taken = tokio::select! {
                // A fault of the program's own must not leave the shard without an owner for ever.
                taken = taking => taken.unwrap_or_else(|_| {
                    Err(CommandError::Internal("taking the shard over panicked".to_owned()))
                }),
                () = stop.cancelled() => break,
            };
            match taken {
                Ok(takeover) => {
                    start = Some(takeover);
                    pauses.reset();
                }
                // Another process may have more luck; here the lease would be renewed for a shard that nobody serves.
                Err(error) if shared.config.on_deposed == OnDeposed::Stop => {
                    tracing::error!(%shard, %error, "the shard can't be taken over again and is given up");
                    break;
                }
                Err(error) => tracing::error!(%shard, %error, "the shard can't be taken over, trying again"),
            }
        }
    }
    // Not the owner any more: nobody finds the queue from here on, and who has found it is told.
    leaving.leave();
    queue.close();
    refuse_queued(&mut queue, shard);
}

fn refuse_queued(queue: &mut mpsc::Receiver<Job>, shard: Shard) {
    while let Ok(job) = queue.try_recv() {
        job.fail(CommandError::NotOwner { shard, owner: None });
    }
}
