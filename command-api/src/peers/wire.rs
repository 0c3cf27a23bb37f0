//! Commands and states as JSON between instances. Everything else crosses in the domain's own form.

use std::sync::Arc;

use domain::aggregate::{AnyCommand, Registry, SnapshotState, StreamMeta};
use domain::command::{CommandError, CommandId, CommandRequest, Step};
use domain::merkle::Hash;
use domain::ports::gateway::StreamView;
use domain::stream::StreamId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

#[derive(Debug, Serialize, Deserialize)]
struct WireStep {
    stream: StreamId,
    command: Value,
    expected_version: Option<u64>,
    fresh: bool,
}

/// A command on its way to its shard's owner: always one whose id is looked up, since an attempt before may have been decided.
#[derive(Debug, Serialize, Deserialize)]
pub struct WireCommand {
    id: CommandId,
    body_hash: Hash,
    steps: Vec<WireStep>,
    correlation_id: Uuid,
    causation_id: Uuid,
    actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beside: Option<Map<String, Value>>,
}

impl WireCommand {
    /// The command for the wire.
    ///
    /// # Errors
    /// [`CommandError::Internal`] when a step's command has no JSON form.
    pub fn of(request: &CommandRequest) -> Result<Self, CommandError> {
        let step = |step: &Step| {
            Ok(WireStep {
                stream: step.stream.clone(),
                command: step.command.to_json()?,
                expected_version: step.expected_version,
                fresh: step.fresh,
            })
        };
        let steps: serde_json::Result<_> = request.steps.iter().map(step).collect();
        let steps = steps.map_err(|e| CommandError::Internal(format!("a command has no json form: {e}")))?;
        Ok(Self {
            id: request.id,
            body_hash: request.body_hash,
            steps,
            correlation_id: request.correlation_id,
            causation_id: request.causation_id,
            actor: request.actor.clone(),
            beside: request.beside.clone(),
        })
    }

    /// The command for this process's owner.
    ///
    /// # Errors
    /// When a step's aggregate is not registered here, or its command has another shape here; for people.
    pub fn into_request(self, registry: &Registry) -> Result<CommandRequest, String> {
        let step = |step: WireStep| {
            let kind = step.stream.kind();
            let command = registry.command(kind, step.command);
            let command = command.ok_or_else(|| format!("no aggregate of type {kind} here"))?;
            let command = command.map_err(|e| format!("a command of {kind} can't be read: {e}"))?;
            let command: Arc<dyn AnyCommand> = Arc::from(command);
            Ok(Step {
                stream: step.stream,
                command,
                expected_version: step.expected_version,
                fresh: step.fresh,
            })
        };
        let steps: Result<_, String> = self.steps.into_iter().map(step).collect();
        Ok(CommandRequest {
            id: self.id,
            body_hash: self.body_hash,
            steps: steps?,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            actor: self.actor,
            beside: self.beside,
        })
    }
}

/// The question whether a command was accepted before.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct WireAnswered {
    /// The command's id.
    pub id: CommandId,
    /// The hash of its body.
    pub body_hash: Hash,
}

/// A stream's decided state.
#[derive(Debug, Serialize, Deserialize)]
pub struct WireView {
    meta: StreamMeta,
    contents: SnapshotState,
}

impl WireView {
    /// The state for the wire.
    ///
    /// # Errors
    /// [`CommandError::Internal`] when the state has no JSON form.
    pub fn of(view: &StreamView) -> Result<Self, CommandError> {
        let contents = view.state.snapshot();
        let contents = contents
            .map_err(|e| CommandError::Internal(format!("{} has no json form: {e}", view.meta.stream)))?;
        Ok(Self { meta: view.meta.clone(), contents })
    }

    /// The state as this process knows its aggregate.
    ///
    /// # Errors
    /// [`CommandError::Unavailable`] when the two processes know the aggregate differently, as while a new version is rolled out.
    pub fn into_view(self, registry: &Registry) -> Result<StreamView, CommandError> {
        let state = registry.restore(self.meta.stream.kind(), &self.contents).ok_or_else(|| {
            CommandError::Unavailable(format!(
                "the owner of {} has another version of its aggregate",
                self.meta.stream
            ))
        })?;
        Ok(StreamView { meta: self.meta, state })
    }
}
