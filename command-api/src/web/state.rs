//! What the handlers of commands share.

use std::sync::Arc;

use domain::aggregate::StreamMeta;
use domain::ports::clock::Clock;
use domain::ports::gateway::CommandGateway;
use domain::ports::keys::SubjectKeys;
use domain::stream::StreamId;

use crate::web::problem::Problem;
use crate::web::tokens::Tokens;

/// The ports and services of the command side's handlers. Cheap to clone.
#[derive(Clone)]
pub struct CommandState {
    /// The way to the owners.
    pub gateway: Arc<dyn CommandGateway>,
    /// Seals and opens personal data.
    pub keys: Arc<dyn SubjectKeys>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Issues access tokens.
    pub tokens: Arc<Tokens>,
}

impl CommandState {
    /// The state over the given ports.
    #[must_use]
    pub fn new(
        gateway: Arc<dyn CommandGateway>,
        keys: Arc<dyn SubjectKeys>,
        clock: Arc<dyn Clock>,
        tokens: Arc<Tokens>,
    ) -> Self {
        Self { gateway, keys, clock, tokens }
    }

    /// The decided state of one stream; `None` when it has no event.
    pub async fn read<A: Clone + 'static>(
        &self,
        stream: &StreamId,
    ) -> Result<Option<(A, StreamMeta)>, Problem> {
        let views = self.gateway.read(std::slice::from_ref(stream)).await?;
        Ok(views.into_iter().next().and_then(|view| Some((view.state::<A>()?.clone(), view.meta))))
    }
}
