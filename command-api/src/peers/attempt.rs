//! What the failure of one attempt means for the next one.

use domain::command::CommandError;

use super::PeerError;

/// Why an attempt gave no answer that is the caller's.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// The caller's answer all the same.
    Final(CommandError),
    /// Ask again: it was not done by this attempt.
    NotDone {
        reason: String,
        /// Where the owner may be instead.
        hint: Option<String>,
    },
    /// Ask again under the same id: it may have been done.
    MayBeDone { reason: String },
}

/// Judges a failed attempt. `open` says that an attempt before it may have been done: then an answer that says "nothing was
/// done" speaks of this attempt only.
pub(super) fn judge(error: PeerError, open: bool) -> Failed {
    let not_done = |reason: String| Failed::NotDone { reason, hint: None };
    match error {
        PeerError::NotReached(reason) => not_done(reason),
        PeerError::NoAnswer(reason) => Failed::MayBeDone { reason },
        PeerError::Answered(error) => match error {
            CommandError::NotOwner { ref owner, .. } => {
                Failed::NotDone { reason: error.to_string(), hint: owner.clone() }
            }
            CommandError::OutcomeUnknown(_) => Failed::MayBeDone { reason: error.to_string() },
            // The attempt before is being decided, or its answer can't be had just now.
            // A fault may come up before the id is looked up.
            CommandError::InFlight
            | CommandError::Overloaded
            | CommandError::Unavailable(_)
            | CommandError::Internal(_)
                if open =>
            {
                not_done(error.to_string())
            }
            CommandError::InFlight
            | CommandError::Overloaded
            | CommandError::Unavailable(_)
            | CommandError::Internal(_)
            // Judged after the id was looked up, so no attempt before was accepted.
            | CommandError::Refused(_)
            | CommandError::BodyMismatch
            | CommandError::TooLarge { .. } => Failed::Final(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use domain::command::CommandId;
    use domain::position::Shard;

    use super::*;

    #[test]
    fn nothing_is_said_to_be_not_done_while_an_attempt_is_open() {
        for error in [
            CommandError::InFlight,
            CommandError::Overloaded,
            CommandError::Unavailable("disk full".into()),
            CommandError::Internal("broken".into()),
        ] {
            assert_eq!(judge(error.clone().into(), false), Failed::Final(error.clone()));
            assert!(matches!(judge(error.into(), true), Failed::NotDone { .. }));
        }
    }

    #[test]
    fn lost_answers_are_asked_for_again() {
        for error in [
            PeerError::NoAnswer("cut".into()),
            PeerError::Answered(CommandError::OutcomeUnknown(CommandId::fresh())),
        ] {
            assert!(matches!(judge(error, false), Failed::MayBeDone { .. }));
        }
        let moved = CommandError::NotOwner { shard: Shard(1), owner: Some("b:1".into()) };
        assert!(matches!(judge(moved.into(), true), Failed::NotDone { hint: Some(_), .. }));
    }
}
