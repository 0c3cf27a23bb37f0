//! Sessions: families of rotating refresh tokens. Stream type `session`. Only digests of tokens are kept.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;
use crate::aggregate::{Aggregate, DecisionContext};
use crate::refusal::{DomainError, RefusalKind};

/// A command for a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionCommand {
    /// Opens it with a first refresh token.
    Start {
        /// The user.
        user_id: Uuid,
        /// SHA-256 of the token, lower-case hex.
        token_digest: String,
        /// When the session ends for good.
        expires_at: Timestamp,
    },
    /// Exchanges the current refresh token for the next. Presenting an older one revokes the session (an accepted command:
    /// the caller looks at the state to see which it was).
    Refresh {
        /// SHA-256 of the presented token, lower-case hex.
        presented: String,
        /// SHA-256 of the next token, lower-case hex.
        next: String,
    },
    /// Ends it.
    Revoke,
}

/// `session.started` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStarted {
    /// The user.
    pub user_id: Uuid,
    /// SHA-256 of the token, lower-case hex.
    pub token_digest: String,
    /// When the session ends for good.
    pub expires_at: Timestamp,
}

/// `session.refreshed` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRefreshed {
    /// SHA-256 of the token that counts from now on.
    pub token_digest: String,
}

/// `session.revoked` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRevoked {
    /// An old token was presented: somebody else may hold it.
    pub reuse: bool,
}

crate::events! {
    /// What can happen to a session.
    pub enum SessionEvent {
        /// The user logged in.
        "session.started" 1 => Started(SessionStarted),
        /// The refresh token was exchanged.
        "session.refreshed" 1 => Refreshed(SessionRefreshed),
        /// The session ended.
        "session.revoked" 1 => Revoked(SessionRevoked),
    }
}

/// A session's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// As started; `None` before.
    pub started: Option<SessionStarted>,
    /// SHA-256 of the token that counts.
    pub current: String,
    /// It has ended.
    pub revoked: bool,
}
