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
