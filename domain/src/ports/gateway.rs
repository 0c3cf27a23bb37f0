//! Issuing commands: what HTTP handlers and sagas see of the command side.

use async_trait::async_trait;

use crate::aggregate::{StreamMeta, StreamState};
use crate::command::{Accepted, CommandError, CommandId, CommandRequest};
use crate::merkle::Hash;
use crate::position::Shard;
use crate::stream::StreamId;

/// A stream's decided state, as its owner answered it.
pub struct StreamView {
    /// Version and times; version 0 for a stream without events.
    pub meta: StreamMeta,
    /// A copy of the state.
    pub state: Box<dyn StreamState>,
}

impl StreamView {
    /// The typed state; `None` when the stream has no event, or is of another aggregate.
    #[must_use]
    pub fn state<A: 'static>(&self) -> Option<&A> {
        if self.meta.version == 0 { None } else { self.state.as_any().downcast_ref() }
    }
}

/// The way to the owners of the shards.
#[async_trait]
pub trait CommandGateway: Send + Sync + 'static {
    /// N, which ids are drawn for.
    fn shards(&self) -> u16;

    /// Has the command decided; answers once it is, durably.
    ///
    /// # Errors
    /// [`CommandError`].
    async fn submit(&self, command: CommandRequest) -> Result<Accepted, CommandError>;

    /// The decided states of streams, in the order asked for; each at least as new as everything decided before the call.
    ///
    /// # Errors
    /// [`CommandError`]; never "not found" for an owner that can't be reached.
    async fn read(&self, streams: &[StreamId]) -> Result<Vec<StreamView>, CommandError>;

    /// The stored answer of a command that the shard accepted before under this id; `None` when it accepted none. For a
    /// check made before [`submit`](Self::submit) that would refuse: what the check looked at may have changed since, and
    /// a repeat still gets its answer.
    ///
    /// # Errors
    /// [`CommandError::BodyMismatch`] when it had another body; [`CommandError::InFlight`]; unavailability.
    async fn answered(
        &self,
        shard: Shard,
        id: CommandId,
        body_hash: &Hash,
    ) -> Result<Option<Accepted>, CommandError>;
}
