//! Who may do what: one table of every operation, made from the [routes](super::routes), and the guard that denies whatever the table
//! doesn't allow.
//!
//! Ownership (one's own order) is not decided here but in the handlers, which answer 404 for what isn't one's own.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::web::caller::Caller;
use crate::web::negotiation;
use crate::web::problem::Problem;
use crate::web::tokens::Tokens;
use crate::web::uri;

/// The role that reads the history of events: one of the two that the platform's own operations ask for. Which others there are, an
/// application says; here they are names.
pub const AUDITOR: &str = "auditor";
/// The role that runs the platform.
pub const OPERATOR: &str = "operator";

/// What an operation asks of its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Public,
    /// A valid access token; what is whose is decided in the handler.
    Authenticated,
    /// A valid access token with at least one of these roles.
    Roles(Arc<[&'static str]>),
}

impl Access {
    /// Whether a caller passes; `None` for nobody known.
    #[must_use]
    pub fn allows(&self, caller: Option<&Caller>) -> bool {
        match (self, caller) {
            (Self::Public, _) | (Self::Authenticated, Some(_)) => true,
            (Self::Roles(wanted), Some(caller)) => caller.has_any(wanted),
            (_, None) => false,
        }
    }
}

/// An operation: a method on a path template, as the router has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// `GET` stands for `HEAD` too.
    pub method: &'static str,
    /// As in the OpenAPI document: `/api/v1/orders/{id}`.
    pub path: String,
    /// What it asks of its caller.
    pub access: Access,
}

use Access::Public;

/// Every operation of the server. What is not here is denied: 404 for a path, 405 for a method.
#[derive(Debug, Default)]
pub struct AccessTable(HashMap<String, Vec<(&'static str, Access)>>);

impl AccessTable {
    /// The table of these operations.
    #[must_use]
    pub fn of<'a>(operations: impl IntoIterator<Item = &'a Operation>) -> Self {
        let mut table = Self::default();
        for Operation { method, path, access } in operations {
            table.0.entry(path.clone()).or_default().push((method, access.clone()));
        }
        table
    }

    /// Finds the operation of a method on a path template.
    #[must_use]
    pub fn lookup(&self, method: &Method, path: &str) -> Lookup {
        let wanted = if method == Method::HEAD { "GET" } else { method.as_str() };
        if is_documentation(path) {
            return if wanted == "GET" {
                Lookup::Found(Public)
            } else {
                Lookup::OtherMethods("GET, HEAD".into())
            };
        }
        let Some(operations) = self.0.get(path) else { return Lookup::Unknown };
        if let Some((_, access)) = operations.iter().find(|(method, _)| *method == wanted) {
            return Lookup::Found(access.clone());
        }
        let mut methods = BTreeSet::new();
        for (method, _) in operations {
            methods.insert(*method);
            if *method == "GET" {
                methods.insert("HEAD");
            }
        }
        Lookup::OtherMethods(methods.into_iter().collect::<Vec<_>>().join(", "))
    }
}

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

/// The guard: 404 and 405 by the table, 401, 403, then 400 for a card's number in the URI, 406, and the [`Caller`] for the handler.
pub(crate) async fn guard(
    State((tokens, table)): State<(Arc<Tokens>, Arc<AccessTable>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(path) = request.extensions().get::<MatchedPath>().cloned() else {
        return next.run(request).await;
    };
    match admit(&tokens, &table, &request, path.as_str()) {
        Ok(Some(caller)) => request.extensions_mut().insert(caller),
        Ok(None) => None,
        Err(problem) => return problem.into_response(),
    };
    next.run(request).await
}

fn admit(
    tokens: &Tokens,
    table: &AccessTable,
    request: &Request,
    path: &str,
) -> Result<Option<Caller>, Problem> {
    let access = match table.lookup(request.method(), path) {
        Lookup::Found(access) => access,
        Lookup::OtherMethods(allow) => return Err(Problem::method_not_allowed(allow)),
        Lookup::Unknown => return Err(unknown_route()),
    };
    let caller = match (&access, bearer(request.headers())) {
        // A stale token must not lock its owner out of what anybody may read.
        (Public, token) => token.ok().and_then(|token| tokens.verify(token).ok()),
        (_, Ok(token)) => Some(tokens.verify(token).map_err(|e| Problem::unauthorized(&e.to_string()))?),
        (_, Err(problem)) => return Err(problem),
    };
    if !access.allows(caller.as_ref()) {
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
