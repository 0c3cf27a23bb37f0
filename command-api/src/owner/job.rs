//! What a shard's owner is asked to do.

use domain::command::{Accepted, CommandError, CommandId, CommandRequest};
use domain::merkle::Hash;
use domain::ports::gateway::StreamView;
use domain::stream::StreamId;
use tokio::sync::oneshot;

/// Where an answer goes. A caller that has left is no error: its command counts all the same.
pub(super) struct AnswerTo<T>(oneshot::Sender<Result<T, CommandError>>);

impl<T> AnswerTo<T> {
    pub(super) fn channel() -> (Self, oneshot::Receiver<Result<T, CommandError>>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    pub(super) fn send(self, answer: Result<T, CommandError>) {
        drop(self.0.send(answer));
    }
}

/// A job in a shard's queue.
pub(super) enum Job {
    /// Have a command decided.
    Command {
        request: CommandRequest,
        /// The other streams that its follow-on commands may reach.
        reached: Vec<StreamId>,
        reply: AnswerTo<Accepted>,
        /// Derived rows were asked for the command's id and have no result.
        looked_up: bool,
    },
    /// Tell decided states.
    Read { streams: Vec<StreamId>, reply: AnswerTo<Vec<StreamView>> },
    /// Tell whether a command was accepted before.
    Answered { id: CommandId, body_hash: Hash, reply: AnswerTo<Option<Accepted>>, looked_up: bool },
}

impl Job {
    /// The streams that must be in memory before the job can run.
    pub(super) fn streams(&self) -> Vec<StreamId> {
        match self {
            Self::Command { request, reached, .. } => {
                let known = request.steps.iter().filter(|step| !step.fresh).map(|step| &step.stream);
                known.chain(reached).cloned().collect()
            }
            Self::Read { streams, .. } => streams.clone(),
            Self::Answered { .. } => Vec::new(),
        }
    }

    /// The command id that must be looked up before the job can run.
    pub(super) fn lookup(&self) -> Option<CommandId> {
        match self {
            Self::Command { request, looked_up: false, .. } if request.id.is_repeatable() => Some(request.id),
            Self::Answered { id, looked_up: false, .. } => Some(*id),
            _ => None,
        }
    }

    pub(super) fn set_looked_up(&mut self) {
        if let Self::Command { looked_up, .. } | Self::Answered { looked_up, .. } = self {
            *looked_up = true;
        }
    }

    pub(super) fn fail(self, error: CommandError) {
        match self {
            Self::Command { reply, .. } => reply.send(Err(error)),
            Self::Read { reply, .. } => reply.send(Err(error)),
            Self::Answered { reply, .. } => reply.send(Err(error)),
        }
    }

    /// Answers a job whose command is known to have been accepted.
    pub(super) fn repeat(self, accepted: Accepted, stored_hash: &Hash) {
        match self {
            Self::Command { request, reply, .. } => {
                reply.send(if request.body_hash == *stored_hash {
                    Ok(accepted)
                } else {
                    Err(CommandError::BodyMismatch)
                });
            }
            Self::Answered { body_hash, reply, .. } => {
                reply.send(if body_hash == *stored_hash {
                    Ok(Some(accepted))
                } else {
                    Err(CommandError::BodyMismatch)
                });
            }
            Self::Read { reply, .. } => reply.send(Ok(Vec::new())),
        }
    }
}
