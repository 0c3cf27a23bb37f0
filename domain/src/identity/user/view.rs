//! A user's profile as commands and queries return it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Role;
use crate::event::serialize_wire_time;
use crate::personal::Sealed;

/// One's own profile.
// With its personal fields in the clear, or as they are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Profile, bound = "")]
#[serde(deny_unknown_fields)]
pub struct ProfileView<T = String> {
    /// The user's id.
    pub id: Uuid,
    /// The address as typed.
    #[schema(value_type = String)]
    pub email: T,
    /// The name.
    #[schema(value_type = String)]
    pub name: T,
    /// What they may do.
    pub roles: Vec<Role>,
    /// The stream's version, as in `ETag`.
    pub version: u64,
    /// When they signed up.
    #[serde(serialize_with = "serialize_wire_time")]
    pub created_at: DateTime<Utc>,
    /// When the profile last changed.
    #[serde(serialize_with = "serialize_wire_time")]
    pub updated_at: DateTime<Utc>,
}

impl ProfileView<Sealed> {
    /// The profile with its personal fields in the clear.
    #[must_use]
    pub fn opened(self, email: String, name: String) -> ProfileView {
        let Self { id, email: _, name: _, roles, version, created_at, updated_at } = self;
        ProfileView { id, email, name, roles, version, created_at, updated_at }
    }
}
