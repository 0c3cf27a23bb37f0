//! Users: who may do what. Stream type `user`; the subject of the personal data sealed in its events.

mod view;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

pub use self::view::ProfileView;
use crate::aggregate::{Aggregate, DecisionContext, StreamMeta};
use crate::event::wire_time;
use crate::names::wire_names;
use crate::personal::Sealed;
use crate::refusal::{DomainError, RefusalKind};

/// What a user may do (SEC-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
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

wire_names!(Role, "a role", {
    Customer => "customer",
    Support => "support",
    Warehouse => "warehouse",
    Analyst => "analyst",
    Auditor => "auditor",
    Operator => "operator",
    Admin => "admin",
    Service => "service",
});

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

/// Why a command for a user is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// They signed up before.
    #[error("the user exists already")]
    Exists,
    /// They never signed up.
    #[error("there is no such user")]
    NotFound,
    /// A user needs something that they may do.
    #[error("a user needs at least one role")]
    NoRole,
}

impl DomainError for UserError {
    fn kind(&self) -> RefusalKind {
        match self {
            Self::Exists => RefusalKind::Conflict,
            Self::NotFound => RefusalKind::NotFound,
            Self::NoRole => RefusalKind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Exists => "user-exists",
            Self::NotFound => "user-not-found",
            Self::NoRole => "role-missing",
        }
    }
}

crate::cqrs_aggregate!(User, "user", UserCommand, UserEvent, UserError);

impl Aggregate for User {
    fn decide(&self, command: &UserCommand, _context: &DecisionContext) -> Result<Vec<UserEvent>, UserError> {
        match (command, &self.profile) {
            (UserCommand::Register { .. }, Some(_)) => Err(UserError::Exists),
            (UserCommand::Register { email_claim, email, name, password_hash, roles }, None) => {
                let mut roles = roles.clone();
                roles.sort_unstable();
                roles.dedup();
                if roles.is_empty() {
                    return Err(UserError::NoRole);
                }
                Ok(vec![UserEvent::Registered(UserRegistered {
                    email_claim: email_claim.clone(),
                    email: email.clone(),
                    name: name.clone(),
                    password_hash: password_hash.clone(),
                    roles,
                })])
            }
            (UserCommand::Rename { .. }, None) => Err(UserError::NotFound),
            (UserCommand::Rename { name }, Some(profile)) if profile.name == *name => Ok(Vec::new()),
            (UserCommand::Rename { name }, Some(_)) => {
                Ok(vec![UserEvent::Renamed(UserRenamed { name: name.clone() })])
            }
        }
    }

    fn evolve(&mut self, event: &UserEvent) {
        match event {
            UserEvent::Registered(registered) => self.profile = Some(registered.clone()),
            UserEvent::Renamed(renamed) => {
                if let Some(profile) = &mut self.profile {
                    profile.name = renamed.name.clone();
                }
            }
        }
    }

    /// No personal data: whoever may see it adds it in the clear.
    fn answer(&self, meta: &StreamMeta) -> Option<Value> {
        let profile = self.profile.as_ref()?;
        Some(json!({
            "id": meta.stream.id(),
            "roles": profile.roles,
            "version": meta.version,
            "created_at": wire_time(meta.created_at),
            "updated_at": wire_time(meta.updated_at),
        }))
    }
}

#[cfg(test)]
mod tests;
