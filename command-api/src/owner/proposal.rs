//! One slot, one outcome (P3): the same bytes are sent until they are applied or another row comes back.

use std::sync::Arc;
use std::time::Duration;

use domain::frame::{EncodedFrame, FrameView};
use domain::ports::log::{Decision, EventLog, ProposeError};

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

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Resolves a proposal. It goes on for as long as the outcome is unknown: an open slot answers nobody.
pub(super) async fn resolve(log: Arc<dyn EventLog>, frame: Arc<EncodedFrame>) -> Resolution {
    let mut pause = FIRST_PAUSE;
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
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
