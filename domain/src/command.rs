//! Commands on their way to the owner of a shard, and the owner's answers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::aggregate::AnyCommand;
use crate::merkle::Hash;
use crate::position::{Position, Shard, SyncToken};
use crate::refusal::Refusal;
use crate::stream::StreamId;

/// A command's scoped id: the same for every repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandId(pub Uuid);

impl CommandId {
    /// A new id for a command that nobody can repeat under the same one.
    #[must_use]
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id that the given parts always lead to: a UUIDv8 of the first 16 bytes of SHA-256 over the parts, each
    /// prefixed by its length (u64, little-endian).
    #[must_use]
    pub fn derived(parts: &[&str]) -> Self {
        let digest = digest_of(parts);
        let mut bytes = [0_u8; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(Uuid::new_v8(bytes))
    }

    /// Whether a repeat may come under the same id, which its form tells: only such a command's result is looked for, and kept.
    #[must_use]
    pub fn is_repeatable(self) -> bool {
        self.0.get_version() == Some(uuid::Version::Custom)
    }

    /// The id, or in place of a fresh one the repeatable id that it always leads to.
    #[must_use]
    pub fn repeatable(self) -> Self {
        if self.is_repeatable() { self } else { Self::derived(&["repeatable", &self.to_string()]) }
    }
}

impl std::fmt::Display for CommandId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// SHA-256 over parts, each prefixed by its length (u64, little-endian), so that no two lists of parts collide.
#[must_use]
pub fn digest_of(parts: &[&str]) -> Hash {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// One decision within a command.
#[derive(Debug, Clone)]
pub struct Step {
    /// The stream to decide for.
    pub stream: StreamId,
    /// The aggregate's own command.
    pub command: Arc<dyn AnyCommand>,
    /// Refuse as stale unless the stream has this version (`If-Match`).
    pub expected_version: Option<u64>,
    /// The stream's id was drawn for this command, so it has no event yet and needs no loading.
    pub fresh: bool,
}

impl Step {
    /// A step without conditions.
    #[must_use]
    pub fn new(stream: StreamId, command: impl AnyCommand) -> Self {
        Self { stream, command: Arc::new(command), expected_version: None, fresh: false }
    }

    /// A step on a stream whose id was just drawn.
    #[must_use]
    pub fn create(stream: StreamId, command: impl AnyCommand) -> Self {
        Self { fresh: true, ..Self::new(stream, command) }
    }
}

/// A command for one shard: its steps are decided together, all or none, in one frame.
#[derive(Debug, Clone)]
pub struct CommandRequest {
    /// The scoped id.
    pub id: CommandId,
    /// SHA-256 of the request's body; a repeat with another is refused.
    pub body_hash: Hash,
    /// On distinct streams of one shard; the last step's aggregate gives the answer.
    pub steps: Vec<Step>,
    /// One id runs through everything that a first command set off.
    pub correlation_id: Uuid,
    /// What caused this command; by default the command itself.
    pub causation_id: Uuid,
    /// Who acts: `user:<id>`, `saga:<name>`, `system:<part>`.
    pub actor: String,
    /// What the answer says besides the aggregate's own fields, and in their place: what was read of other streams. Stored with
    /// it, so that a repeat gets the same.
    pub beside: Option<Map<String, Value>>,
}

impl CommandRequest {
    /// A command that starts something new: its own id is the cause and the correlation of its events.
    #[must_use]
    pub fn new(id: CommandId, actor: &str, steps: Vec<Step>) -> Self {
        Self {
            id,
            body_hash: [0; 32],
            steps,
            correlation_id: id.0,
            causation_id: id.0,
            actor: actor.to_owned(),
            beside: None,
        }
    }

    /// The same command under an id by which it can be repeated, with the same body only.
    #[must_use]
    pub fn repeatable(mut self, body_hash: Hash) -> Self {
        self.id = self.id.repeatable();
        self.body_hash = body_hash;
        self
    }
}

/// An accepted command's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The command's id.
    pub id: CommandId,
    /// The position of its last event, or the shard's head when it changed nothing: what the Sync-Token says.
    pub position: Position,
    /// How many events it produced.
    pub events: u64,
    /// The answer's JSON text; empty when it has none.
    #[serde(with = "base64_bytes")]
    pub answer: Vec<u8>,
    /// The command had been accepted before; this is the stored answer.
    pub repeated: bool,
}

impl Accepted {
    /// The token that makes a query see this command.
    #[must_use]
    pub fn token(&self) -> SyncToken {
        SyncToken::of(self.position)
    }
}

/// Why a command has no accepted outcome, by what the caller can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum CommandError {
    /// The domain said no: nothing was appended.
    #[error("{0}")]
    Refused(Refusal),
    /// The id was used before with another body: use a new one.
    #[error("the command id was used before with another body")]
    BodyMismatch,
    /// The same command is being decided at this moment: repeat after its answer.
    #[error("the same command is being decided")]
    InFlight,
    /// The owner's queue is full: nothing was appended, repeat later.
    #[error("the shard's owner is overloaded")]
    Overloaded,
    /// The command can't be known to have been decided: repeat it under the same id.
    #[error("the outcome of command {0} is not known yet")]
    OutcomeUnknown(CommandId),
    /// The process that was asked doesn't own the shard, and appended nothing: ask its owner.
    #[error("this process doesn't own shard {shard}")]
    NotOwner {
        /// The command's shard.
        shard: Shard,
        /// `host:port` where its owner was last seen, if that is known.
        owner: Option<String>,
    },
    /// No owner can be reached, or storage refuses: nothing was appended, repeat later.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The command is larger than a frame may be, or than what one instance may send to another.
    #[error("the command takes {size} bytes, more than the {limit} that it may")]
    TooLarge {
        /// Bytes.
        size: usize,
        /// Bytes.
        limit: usize,
    },
    /// The command is wrongly put together, or a stored event of its stream can't be read: an operator's matter.
    #[error("internal: {0}")]
    Internal(String),
}

impl From<Refusal> for CommandError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Bytes as base64 in JSON.
mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::RefusalKind;

    #[test]
    fn outcomes_cross_to_another_machine_without_loss() {
        let accepted = Accepted {
            id: CommandId::fresh(),
            position: Position { shard: Shard(3), n: 17 },
            events: 2,
            answer: b"{\"id\":1}".to_vec(),
            repeated: true,
        };
        let refusal =
            Refusal { kind: RefusalKind::Conflict, code: "sold-out".into(), detail: "none left".into() };
        let outcomes: Vec<Result<Accepted, CommandError>> = vec![
            Ok(accepted),
            Err(CommandError::Refused(refusal)),
            Err(CommandError::BodyMismatch),
            Err(CommandError::InFlight),
            Err(CommandError::Overloaded),
            Err(CommandError::OutcomeUnknown(CommandId::fresh())),
            Err(CommandError::NotOwner { shard: Shard(2), owner: Some("10.0.0.1:80".into()) }),
            Err(CommandError::Unavailable("disk full".into())),
            Err(CommandError::TooLarge { size: 2, limit: 1 }),
            Err(CommandError::Internal("bad".into())),
        ];
        let text = serde_json::to_string(&outcomes).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Result<Accepted, CommandError>>>(&text).unwrap(), outcomes);
    }
}
