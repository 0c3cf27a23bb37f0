//! The port of the verifier: infra runs the checks of `domain::verify` over its log and derived rows.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::event::{serialize_wire_time, wire_time};
use domain::position::{Position, Shard};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

/// The log could not be read to its end: nothing is known, repeat later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log can't be verified now: {0}")]
pub struct VerifyError(pub String);

/// What the latest verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct VerifyReport {
    /// Every shard's chain holds, and the derived rows agree with it.
    pub ok: bool,
    /// When it began: what was decided by then is verified.
    #[serde(serialize_with = "serialize_wire_time")]
    pub as_of: DateTime<Utc>,
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

/// A verification, under way or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Verification {
    /// Its id.
    pub id: Uuid,
    /// How it is.
    pub status: Status,
    /// How far every shard has been verified, in order.
    pub verified: Vec<ThroughReport>,
    /// The first position that doesn't hold, in shard order.
    #[schema(value_type = Option<String>, required = true)]
    pub first_fault: Option<Position>,
    /// What doesn't hold there, or why it failed.
    #[schema(required = true)]
    pub fault_reason: Option<String>,
    /// When it began: what was decided by then is verified.
    #[serde(serialize_with = "serialize_wire_time")]
    pub started_at: DateTime<Utc>,
    /// When it ended.
    #[serde(serialize_with = "serialize_optional")]
    #[schema(required = true)]
    pub ended_at: Option<DateTime<Utc>>,
}

fn serialize_optional<S: Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(wire_time).serialize(serializer)
}

/// How a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Under way.
    Running,
    /// It ended, and everything holds.
    Ok,
    /// It ended, and something doesn't hold.
    Fault,
    /// Storage could not be read for long: nothing is known of what lies behind.
    Failed,
}

/// How far a shard has been verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct ThroughReport {
    /// The shard.
    #[schema(value_type = u16)]
    pub shard: Shard,
    /// The position of the last event verified; `n` is 0 before the first.
    #[schema(value_type = String, example = "3:1042")]
    pub through: Position,
}

/// Checks the whole log: one verification at a time, the last ones remembered until the process ends.
#[async_trait]
pub trait Verifier: Send + Sync + 'static {
    /// Starts a verification from the first frame on, and answers its id; the one that runs, if one does.
    fn start(&self) -> Uuid;

    /// One of the last verifications.
    fn verification(&self, id: Uuid) -> Option<Verification>;

    /// What a verification of all that is decided by now finds, if it ends in time; else what the last one found. `None` when none has
    /// ended yet: one is under way then. A fault is a report, not an error.
    ///
    /// # Errors
    /// [`VerifyError`].
    async fn latest(&self, within: Duration) -> Result<Option<VerifyReport>, VerifyError>;
}
