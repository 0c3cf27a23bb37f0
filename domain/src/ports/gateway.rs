//! Issuing commands: what HTTP handlers and sagas see of the command side.

use async_trait::async_trait;

use crate::aggregate::{StreamMeta, StreamState};
use crate::command::{Accepted, CommandError, CommandRequest};
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
}
