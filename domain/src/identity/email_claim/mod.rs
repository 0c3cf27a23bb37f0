//! E-mail claims: which user holds an address. Stream type `email_claim`, id = a keyed digest of the normalised address, so
//! that two sign-ups with one address meet in one stream.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::aggregate::{Aggregate, DecisionContext};
use crate::refusal::{DomainError, RefusalKind};

/// A command for a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EmailClaimCommand {
    /// Takes the address for a user.
    Claim {
        /// The user.
        user_id: Uuid,
    },
    /// Gives it up.
    Release {
        /// The user.
        user_id: Uuid,
    },
}

/// `email_claim.claimed` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailClaimed {
    /// The user.
    pub user_id: Uuid,
}

/// `email_claim.released` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailReleased {
    /// The user.
    pub user_id: Uuid,
}

crate::events! {
    /// What can happen to a claim.
    pub enum EmailClaimEvent {
        /// A user took the address.
        "email_claim.claimed" 1 => Claimed(EmailClaimed),
        /// The user gave it up.
        "email_claim.released" 1 => Released(EmailReleased),
    }
}

/// A claim's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailClaim {
    /// Who holds the address.
    pub holder: Option<Uuid>,
}

/// Why a command for a claim is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EmailClaimError {
    /// Another user holds the address.
    #[error("the e-mail address is already in use")]
    Taken,
    /// Another user than the one who gives it up holds the address.
    #[error("the e-mail address is held by another user")]
    NotHolder,
}

impl DomainError for EmailClaimError {
    fn kind(&self) -> RefusalKind {
        RefusalKind::Conflict
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Taken => "email-taken",
            Self::NotHolder => "email-not-held",
        }
    }
}

crate::cqrs_aggregate!(EmailClaim, "email_claim", EmailClaimCommand, EmailClaimEvent, EmailClaimError);

impl Aggregate for EmailClaim {
    fn decide(
        &self,
        command: &EmailClaimCommand,
        _context: &DecisionContext,
    ) -> Result<Vec<EmailClaimEvent>, EmailClaimError> {
        match (command, self.holder) {
            (EmailClaimCommand::Claim { user_id }, None) => {
                Ok(vec![EmailClaimEvent::Claimed(EmailClaimed { user_id: *user_id })])
            }
            (EmailClaimCommand::Claim { user_id }, Some(holder)) if holder == *user_id => Ok(Vec::new()),
            (EmailClaimCommand::Claim { .. }, Some(_)) => Err(EmailClaimError::Taken),
            (EmailClaimCommand::Release { user_id }, Some(holder)) if holder == *user_id => {
                Ok(vec![EmailClaimEvent::Released(EmailReleased { user_id: *user_id })])
            }
            (EmailClaimCommand::Release { .. }, Some(_)) => Err(EmailClaimError::NotHolder),
            (EmailClaimCommand::Release { .. }, None) => Ok(Vec::new()),
        }
    }

    fn evolve(&mut self, event: &EmailClaimEvent) {
        match event {
            EmailClaimEvent::Claimed(claimed) => self.holder = Some(claimed.user_id),
            EmailClaimEvent::Released(_) => self.holder = None,
        }
    }
}

#[cfg(test)]
mod tests;
