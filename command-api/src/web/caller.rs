//! Who sent a request.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use domain::personal::subject;
use domain::stream::{DEFAULT_TENANT, StreamId};
use uuid::Uuid;

use crate::web::problem::Problem;

/// Who sent the request, as the access token says. An extractor: 401 where nobody is known, `Option<Caller>` for either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub user_id: Uuid,
    /// The tenant, which every stream and query of the request is of.
    pub tenant: String,
    /// What they may do.
    pub roles: Vec<String>,
    /// The session that the token was issued for.
    pub session_id: Uuid,
}

impl Caller {
    /// Whether they have one of these roles.
    #[must_use]
    pub fn has_any(&self, roles: &[impl Copy + Into<&'static str>]) -> bool {
        self.roles.iter().any(|role| roles.iter().any(|wanted| role == (*wanted).into()))
    }

    /// The actor of events: `user:<id>`.
    #[must_use]
    pub fn actor(&self) -> String {
        format!("user:{}", self.user_id)
    }

    /// The user's own stream, the subject of their personal data.
    #[must_use]
    pub fn stream(&self) -> StreamId {
        subject(&self.tenant, self.user_id)
    }

    /// The tenant that a request is about, also one of nobody known.
    #[must_use]
    pub fn tenant_of(caller: Option<&Self>) -> &str {
        caller.map_or(DEFAULT_TENANT, |caller| &caller.tenant)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(|| Problem::unauthorized("log in first"))
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        Ok(parts.extensions.get().cloned())
    }
}
