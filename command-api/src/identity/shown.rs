//! Accounts and sessions as they are shown to whom they belong.

use domain::identity::user::Role;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A user who has just signed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Its id.
    pub id: Uuid,
    /// The address as typed.
    pub email: String,
    /// The name.
    pub name: String,
    /// What they may do.
    pub roles: Vec<Role>,
}

/// Tokens of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionTokens {
    /// A JWT for `Authorization: Bearer`.
    pub access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// How long the access token is valid, seconds.
    #[schema(example = 900)]
    pub expires_in: u64,
    /// Exchanged once for new tokens.
    pub refresh_token: String,
}
