//! Refusals: the answers of a domain that says no.

use serde::{Deserialize, Serialize};

/// What the caller can do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The thing doesn't exist: nothing to do.
    NotFound,
    /// The thing is in a state that doesn't allow it: read it again.
    Conflict,
    /// The request's content breaks a rule: change it.
    Invalid,
    /// The stated version is not the current one: read again and repeat.
    StaleVersion,
}

/// Why a command was refused; an answer about state, not a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// What the caller can do about it.
    pub kind: RefusalKind,
    /// A stable code, kebab-case; the last segment of the problem's `type`.
    pub code: String,
    /// For people; lower case, no full stop.
    pub detail: String,
}

/// An aggregate's own typed error.
pub trait DomainError: std::error::Error + PartialEq + Send + Sync + 'static {
    /// What the caller can do about it.
    fn kind(&self) -> RefusalKind;

    /// A stable code, kebab-case.
    fn code(&self) -> &'static str;
}

impl<E: DomainError> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self { kind: error.kind(), code: error.code().to_owned(), detail: error.to_string() }
    }
}
