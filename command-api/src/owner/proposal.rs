//! One slot, one outcome (P3): the same bytes are sent until they are applied or another row comes back. Then the winner's frames
//! tell what became of the loser's commands (P4).

use std::sync::Arc;
use std::time::Duration;

use domain::frame::{DecidedFrame, EncodedFrame, FrameView, Slot};
use domain::pauses::Pauses;
use domain::ports::log::{Decision, EventLog, ProposeError};

use super::overlay::{KnownResult, repeated, token_position};

/// What became of a proposal.
#[derive(Debug)]
pub(super) enum Resolution {
    /// The slot holds my frame.
    Decided,
    /// The slot holds this other frame.
    Lost(Vec<u8>),
    /// Storage refused before anything was written: the slot is as it was.
    NotWritten(String),
}

/// Before the same bytes are sent again.
const PAUSES: Pauses = Pauses::new(Duration::from_millis(5), Duration::from_secs(1));

/// Resolves a proposal. It goes on for as long as the outcome is unknown: an open slot answers nobody.
pub(super) async fn resolve(log: Arc<dyn EventLog>, frame: Arc<EncodedFrame>) -> Resolution {
    let mut pauses = PAUSES;
    let mut may_have_landed = false;
    loop {
        let reason = match log.propose(Arc::clone(&frame)).await {
            Ok(Decision::Decided) => return Resolution::Decided,
            Ok(Decision::Taken(row)) => {
                let mine = FrameView::parse(&row).is_ok_and(|view| view.header.nonce == frame.header.nonce);
                return if mine { Resolution::Decided } else { Resolution::Lost(row) };
            }
            // A refusal says nothing about an earlier attempt whose outcome is unknown.
            Err(ProposeError::NotWritten(reason)) if !may_have_landed => {
                return Resolution::NotWritten(reason);
            }
            Err(ProposeError::NotWritten(reason)) => reason,
            Err(ProposeError::Unknown(reason)) => {
                may_have_landed = true;
                reason
            }
        };
        tracing::warn!(slot = %frame.header.slot, reason, "outcome of a proposal unknown, sending it again");
        tokio::time::sleep(pauses.further()).await;
    }
}

/// A loser looks for its commands in so many frames at most, since its callers wait.
const WINNERS_FRAMES: u64 = 10_000;
const PAGE_FRAMES: usize = 1_000;
const PAGE_BYTES: usize = 4 << 20;

/// The commands of the frames from the lost slot on, and whether these are all of them.
pub(super) async fn winners_results(log: &dyn EventLog, lost: Slot) -> (Vec<KnownResult>, bool) {
    let mut results = Vec::new();
    let mut next = lost.frame;
    while next < lost.frame + WINNERS_FRAMES {
        let rows = match log.read_frames(lost.shard, next, PAGE_FRAMES, PAGE_BYTES).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%lost, %error, "the winner's frames can't be read");
                return (results, false);
            }
        };
        if rows.is_empty() {
            // A page that lags behind the slot that was lost says nothing.
            return (results, next > lost.frame);
        }
        for row in rows {
            match DecidedFrame::decode(&row) {
                Ok(DecidedFrame { header, commands, .. }) => results
                    .extend(commands.iter().map(|record| repeated(record, token_position(&header, record)))),
                Err(error) => {
                    tracing::warn!(%lost, frame = next, %error, "a winner's frame can't be read");
                    return (results, false);
                }
            }
            next += 1;
        }
    }
    (results, false)
}
