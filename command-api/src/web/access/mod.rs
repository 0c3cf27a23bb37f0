//! Who may do what: one table of every operation, and the guard that denies whatever the table doesn't allow.
//!
//! Ownership (one's own order) is not decided here but in the handlers, which answer 404 for what isn't one's own.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, OptionalFromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::identity::user::Role;
use domain::stream::{DEFAULT_TENANT, StreamId};
use uuid::Uuid;

use crate::web::negotiation;
use crate::web::problem::Problem;
use crate::web::tokens::Tokens;
use crate::web::uri;

/// What an operation asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Public,
    /// A valid access token; what is whose is decided in the handler.
    Authenticated,
    /// A valid access token with at least one of these roles.
    Roles(&'static [Role]),
}

impl Access {
    /// Whether a caller with these roles passes; `None` for nobody known.
    #[must_use]
    pub fn allows(self, roles: Option<&[Role]>) -> bool {
        match (self, roles) {
            (Self::Public, _) | (Self::Authenticated, Some(_)) => true,
            (Self::Roles(wanted), Some(roles)) => roles.iter().any(|role| wanted.contains(role)),
            (_, None) => false,
        }
    }
}

/// An operation: a method on a path template, as the router has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// `GET` stands for `HEAD` too.
    pub method: &'static str,
    /// As in the OpenAPI document: `/api/v1/orders/{id}`.
    pub path: &'static str,
    /// What it asks of its caller.
    pub access: Access,
}

const fn operation(method: &'static str, path: &'static str, access: Access) -> Operation {
    Operation { method, path, access }
}

use Access::{Authenticated, Public, Roles};

/// Who sees where sagas stand.
const SAGA_READERS: &[Role] = &[Role::Operator, Role::Admin, Role::Support];

/// Every operation of the server. What is not here is denied: 404 for a path, 405 for a method.
pub const OPERATIONS: &[Operation] = &[
    operation("POST", "/api/v1/users", Public),
    operation("POST", "/api/v1/auth/signup", Public),
    operation("POST", "/api/v1/auth/register", Public),
    operation("POST", "/api/v1/auth/login", Public),
    operation("POST", "/api/v1/auth/refresh", Public),
    operation("POST", "/api/v1/auth/logout", Authenticated),
    operation("GET", "/api/v1/users/me", Authenticated),
    operation("PUT", "/api/v1/users/me", Authenticated),
    operation("POST", "/api/v1/products", Roles(&[Role::Admin])),
    operation("GET", "/api/v1/products", Public),
    operation("GET", "/api/v1/products/search", Public),
    operation("GET", "/api/v1/products/{id}", Public),
    operation("PUT", "/api/v1/products/{id}", Roles(&[Role::Admin])),
    operation("PUT", "/api/v1/products/{id}/inventory", Roles(&[Role::Admin, Role::Warehouse])),
    operation("GET", "/api/v1/inventory/availability", Public),
    operation("POST", "/api/v1/orders", Roles(&[Role::Customer])),
    operation("GET", "/api/v1/orders", Authenticated),
    operation("GET", "/api/v1/orders/{id}", Authenticated),
    operation("DELETE", "/api/v1/orders/{id}", Authenticated),
    operation("POST", "/api/v1/orders/{id}/cancel", Authenticated),
    operation("GET", "/api/v1/payments/{id}", Authenticated),
    operation("POST", "/api/v1/payments/{id}/refund", Roles(&[Role::Admin, Role::Support])),
    operation("GET", "/api/v1/shipments/{id}", Authenticated),
    operation("POST", "/api/v1/shipments/{id}/dispatch", Roles(&[Role::Admin, Role::Warehouse])),
    operation("POST", "/api/v1/shipments/{id}/deliver", Roles(&[Role::Admin, Role::Warehouse])),
    operation("GET", "/api/v1/audit/streams/{type}/{id}/events", Roles(&[Role::Auditor])),
    operation("GET", "/api/v1/audit/streams/{type}/{id}", Roles(&[Role::Auditor])),
    operation("GET", "/api/v1/audit/events", Roles(&[Role::Auditor])),
    operation("GET", "/api/v1/audit/verify", Roles(&[Role::Auditor])),
    operation("POST", "/api/v1/audit/verifications", Roles(&[Role::Auditor])),
    operation("GET", "/api/v1/audit/verifications/{id}", Roles(&[Role::Auditor])),
    operation("GET", "/api/v1/openapi.json", Public),
    operation("GET", "/api/v1/operations/sagas", Roles(SAGA_READERS)),
    operation("GET", "/api/v1/operations/sagas/{order_id}", Roles(SAGA_READERS)),
    operation("POST", "/api/v1/operations/sagas/{order_id}/retry", Roles(&[Role::Operator, Role::Admin])),
    operation("POST", "/api/v1/operations/sagas/{order_id}/resolve", Roles(&[Role::Operator, Role::Admin])),
    operation("GET", "/simulator/charges", Public),
    operation("GET", "/simulator/state", Public),
    operation("PUT", "/simulator/state", Public),
    operation("GET", "/health", Public),
    operation("GET", "/health/live", Public),
    operation("GET", "/health/ready", Public),
];

/// The documentation page's own routes, whose templates its crate chooses; public, GET only, and not JSON.
fn is_documentation(path: &str) -> bool {
    path == "/docs" || path.starts_with("/docs/")
}

/// What the table says of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The operation's access.
    Found(Access),
    /// The path has other methods: these, as for `Allow`.
    OtherMethods(String),
    /// No such path.
    Unknown,
}

/// Finds the operation of a method on a path template.
#[must_use]
pub fn lookup(method: &Method, path: &str) -> Lookup {
    let wanted = if method == Method::HEAD { "GET" } else { method.as_str() };
    if is_documentation(path) {
        return if wanted == "GET" {
            Lookup::Found(Public)
        } else {
            Lookup::OtherMethods("GET, HEAD".into())
        };
    }
    let mut methods = BTreeSet::new();
    for operation in OPERATIONS.iter().filter(|operation| operation.path == path) {
        if operation.method == wanted {
            return Lookup::Found(operation.access);
        }
        methods.insert(operation.method);
        if operation.method == "GET" {
            methods.insert("HEAD");
        }
    }
    if methods.is_empty() {
        return Lookup::Unknown;
    }
    Lookup::OtherMethods(methods.into_iter().collect::<Vec<_>>().join(", "))
}

/// Who sent the request, as the access token says. An extractor: 401 where nobody is known, `Option<Caller>` for either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub user_id: Uuid,
    /// The tenant, which every stream and query of the request is of.
    pub tenant: String,
    /// What they may do.
    pub roles: Vec<Role>,
    /// The session that the token was issued for.
    pub session_id: Uuid,
}

impl Caller {
    /// Whether they have one of these roles.
    #[must_use]
    pub fn has_any(&self, roles: &[Role]) -> bool {
        self.roles.iter().any(|role| roles.contains(role))
    }

    /// The actor of events: `user:<id>`.
    #[must_use]
    pub fn actor(&self) -> String {
        format!("user:{}", self.user_id)
    }

    /// The user's own stream, the subject of their personal data.
    #[must_use]
    pub fn stream(&self) -> StreamId {
        StreamId::new(&self.tenant, "user", self.user_id)
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

/// The guard: 404 and 405 by the table, 401, 403, then 400 for a card's number in the URI, 406, and the [`Caller`] for the handler.
pub(crate) async fn guard(State(tokens): State<Arc<Tokens>>, mut request: Request, next: Next) -> Response {
    let Some(path) = request.extensions().get::<MatchedPath>().cloned() else {
        return next.run(request).await;
    };
    match admit(&tokens, &request, path.as_str()) {
        Ok(Some(caller)) => request.extensions_mut().insert(caller),
        Ok(None) => None,
        Err(problem) => return problem.into_response(),
    };
    next.run(request).await
}

fn admit(tokens: &Tokens, request: &Request, path: &str) -> Result<Option<Caller>, Problem> {
    let access = match lookup(request.method(), path) {
        Lookup::Found(access) => access,
        Lookup::OtherMethods(allow) => return Err(Problem::method_not_allowed(allow)),
        Lookup::Unknown => return Err(unknown_route()),
    };
    let caller = match (access, bearer(request.headers())) {
        // A stale token must not lock its owner out of what anybody may read.
        (Public, token) => token.ok().and_then(|token| tokens.verify(token).ok()),
        (_, Ok(token)) => Some(tokens.verify(token).map_err(|e| Problem::unauthorized(&e.to_string()))?),
        (_, Err(problem)) => return Err(problem),
    };
    if !access.allows(caller.as_ref().map(|caller| caller.roles.as_slice())) {
        return Err(Problem::forbidden());
    }
    uri::has_no_card_number(request.uri())?;
    if !is_documentation(path) {
        negotiation::accepts_json(request.headers())?;
    }
    Ok(caller)
}

/// 404 for a path that no operation has.
pub(crate) fn unknown_route() -> Problem {
    Problem::new(axum::http::StatusCode::NOT_FOUND, "unknown-route", "there is no such path; see /docs")
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = || Problem::unauthorized("send an access token: authorization: bearer <token>");
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(missing()) };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
    let token = token.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() { Ok(token) } else { Err(missing()) }
}

#[cfg(test)]
mod tests;
