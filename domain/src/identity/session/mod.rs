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

/// Why a command for a session is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// It was opened before.
    #[error("the session was started before")]
    Exists,
    /// It was never opened.
    #[error("there is no such session")]
    NotFound,
    /// It was revoked, or its time is up.
    #[error("the session has ended; log in again")]
    Ended,
}

impl DomainError for SessionError {
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotFound => RefusalKind::NotFound,
            Self::Exists | Self::Ended => RefusalKind::Conflict,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Exists => "session-exists",
            Self::NotFound => "session-not-found",
            Self::Ended => "session-ended",
        }
    }
}

crate::cqrs_aggregate!(Session, "session", SessionCommand, SessionEvent, SessionError);

impl Session {
    fn refresh(&self, presented: &str, next: &str, now: Timestamp) -> Result<SessionEvent, SessionError> {
        let started = self.started.as_ref().ok_or(SessionError::NotFound)?;
        if self.revoked || now >= started.expires_at {
            return Err(SessionError::Ended);
        }
        if presented == self.current {
            return Ok(SessionEvent::Refreshed(SessionRefreshed { token_digest: next.to_owned() }));
        }
        Ok(SessionEvent::Revoked(SessionRevoked { reuse: true }))
    }
}

impl Aggregate for Session {
    fn decide(
        &self,
        command: &SessionCommand,
        context: &DecisionContext,
    ) -> Result<Vec<SessionEvent>, SessionError> {
        match command {
            SessionCommand::Start { .. } if self.started.is_some() => Err(SessionError::Exists),
            SessionCommand::Start { user_id, token_digest, expires_at } => {
                Ok(vec![SessionEvent::Started(SessionStarted {
                    user_id: *user_id,
                    token_digest: token_digest.clone(),
                    expires_at: *expires_at,
                })])
            }
            SessionCommand::Refresh { presented, next } => {
                Ok(vec![self.refresh(presented, next, context.now)?])
            }
            SessionCommand::Revoke if self.started.is_none() => Err(SessionError::NotFound),
            SessionCommand::Revoke if self.revoked => Ok(Vec::new()),
            SessionCommand::Revoke => Ok(vec![SessionEvent::Revoked(SessionRevoked { reuse: false })]),
        }
    }

    fn evolve(&mut self, event: &SessionEvent) {
        match event {
            SessionEvent::Started(started) => {
                self.current.clone_from(&started.token_digest);
                self.started = Some(started.clone());
            }
            SessionEvent::Refreshed(refreshed) => self.current.clone_from(&refreshed.token_digest),
            SessionEvent::Revoked(_) => self.revoked = true,
        }
    }
}

#[cfg(test)]
mod tests;
