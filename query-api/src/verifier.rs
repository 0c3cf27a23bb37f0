//! The port of the verifier: infra runs the checks of `domain::verify` over its log and derived rows.

use async_trait::async_trait;
use domain::position::{Position, Shard};
use serde::Serialize;
use utoipa::ToSchema;

/// The log could not be read to its end: nothing is known, repeat later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log can't be verified now: {0}")]
pub struct VerifyError(pub String);

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct VerifyReport {
    /// Every shard's chain holds, and the derived rows agree with it.
    pub ok: bool,
    /// Every shard of the store, in order.
    pub shards: Vec<ShardReport>,
    /// The first position that doesn't hold, in shard order.
    #[schema(value_type = Option<String>, required = true)]
    pub first_fault: Option<Position>,
    /// What doesn't hold there.
    #[schema(required = true)]
    pub fault_reason: Option<String>,
}

/// How far a shard's chain holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShardReport {
    /// The shard.
    #[schema(value_type = u16)]
    pub shard: Shard,
    /// The position of the last event that holds.
    #[schema(value_type = String, example = "3:1042")]
    pub head: Position,
    /// The hash of the last frame that holds, lower-case hex.
    pub hash: String,
}

/// Checks the whole log.
#[async_trait]
pub trait Verifier: Send + Sync + 'static {
    /// Reads the log from the first frame to the last; a fault is a report, not an error. Stops when dropped.
    ///
    /// # Errors
    /// [`VerifyError`].
    async fn verify(&self) -> Result<VerifyReport, VerifyError>;
}
