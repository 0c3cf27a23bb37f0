//! Users: who may do what. Stream type `user`; the subject of the personal data sealed in its events.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::aggregate::{Aggregate, DecisionContext, StreamMeta};
use crate::personal::Sealed;
use crate::refusal::{DomainError, RefusalKind};

/// What a user may do (SEC-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Buys.
    Customer,
    /// Helps customers; may refund.
    Support,
    /// Sets stock, dispatches and delivers.
    Warehouse,
    /// Reads projections.
    Analyst,
    /// Reads the event history.
    Auditor,
    /// Runs the platform.
    Operator,
    /// Manages catalogue and users.
    Admin,
    /// Another program.
    Service,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 8] = [
        Self::Customer,
        Self::Support,
        Self::Warehouse,
        Self::Analyst,
        Self::Auditor,
        Self::Operator,
        Self::Admin,
        Self::Service,
    ];
}

/// A command for a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserCommand {
    /// Signs up; decided in one frame with the claim of the address.
    Register {
        /// The e-mail claim's id.
        email_claim: String,
        /// The address as typed.
        email: Sealed,
        /// The name.
        name: Sealed,
        /// The argon2id hash in PHC form, sealed like the rest.
        password_hash: Sealed,
        /// What they may do.
        roles: Vec<Role>,
    },
    /// Changes the name.
    Rename {
        /// The name from now on.
        name: Sealed,
    },
}

/// `user.registered` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRegistered {
    /// The e-mail claim's id: a keyed digest of the normalised address.
    pub email_claim: String,
    /// The address as typed.
    pub email: Sealed,
    /// The name.
    pub name: Sealed,
    /// The argon2id hash in PHC form.
    pub password_hash: Sealed,
    /// What they may do.
    pub roles: Vec<Role>,
}

/// `user.renamed` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRenamed {
    /// The name from now on.
    pub name: Sealed,
}

crate::events! {
    /// What can happen to a user.
    pub enum UserEvent {
        /// They signed up.
        "user.registered" 1 => Registered(UserRegistered),
        /// They changed their name.
        "user.renamed" 1 => Renamed(UserRenamed),
    }
}

/// A user's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// As registered, with today's name; `None` before.
    pub profile: Option<UserRegistered>,
}
