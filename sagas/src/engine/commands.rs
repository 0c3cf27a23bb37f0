//! The way to the owners of the shards, as process managers use it.

use std::sync::Arc;
use std::time::Duration;

use domain::aggregate::Aggregate;
use domain::command::{Accepted, CommandError, CommandId, CommandRequest, Step, digest_of};
use domain::ports::gateway::CommandGateway;
use domain::stream::StreamId;
use uuid::Uuid;

use super::process::Retry;
use super::work::WorkItem;

/// Sends commands in the name of a process.
#[derive(Clone)]
pub struct Commands {
    /// The way to the owners.
    pub gateway: Arc<dyn CommandGateway>,
    /// Who acts, in the events.
    pub actor: &'static str,
    /// How long the owner of a shard may take to answer one attempt.
    pub within: Duration,
}

impl Commands {
    /// Sends a command. Its body hash is the id's: of two workers that carry out the same work the second gets the first
    /// one's answer, even if somebody outside told it something else.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn submit(
        &self,
        item: &WorkItem,
        id: CommandId,
        cause: Uuid,
        step: Step,
    ) -> Result<Accepted, CommandError> {
        let request = CommandRequest {
            correlation_id: item.correlation_id,
            causation_id: cause,
            ..CommandRequest::new(id, self.actor, vec![step]).repeatable(digest_of(&[&id.to_string()]))
        };
        let answer = tokio::time::timeout(self.within, self.gateway.submit(request)).await;
        answer.unwrap_or(Err(CommandError::OutcomeUnknown(id)))
    }

    /// The decided state of a stream; `None` when nothing ever happened to it.
    ///
    /// # Errors
    /// [`Retry`].
    pub async fn state<A: Aggregate>(&self, stream: StreamId) -> Result<Option<A>, Retry> {
        let read = self.gateway.read(std::slice::from_ref(&stream));
        let views = tokio::time::timeout(self.within, read)
            .await
            .map_err(|_| Retry::later(format!("the owner of {stream} didn't answer in time")))??;
        Ok(views.first().and_then(|view| view.state::<A>()).cloned())
    }
}
