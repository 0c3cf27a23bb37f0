//! Accounts and sessions as they are shown. Reading an answer into its type proves that both agree: unknown fields are refused.

use chrono::{DateTime, Utc};
use domain::identity::user::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A user who has just signed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

/// One's own profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The user's id.
    pub id: Uuid,
    /// The address as typed.
    pub email: String,
    /// The name.
    pub name: String,
    /// What they may do.
    pub roles: Vec<Role>,
    /// The stream's version, as in `ETag`.
    pub version: u64,
    /// When they signed up.
    pub created_at: DateTime<Utc>,
    /// When the profile last changed.
    pub updated_at: DateTime<Utc>,
}

/// Tokens of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionTokens {
    /// A JWT for `Authorization: Bearer`.
    pub access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    pub token_type: String,
    /// How long the access token is valid, seconds.
    #[schema(example = 900)]
    pub expires_in: u64,
    /// Exchanged once for new tokens.
    pub refresh_token: String,
}
