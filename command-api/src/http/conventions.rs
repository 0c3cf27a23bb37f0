//! The conventions that every operation follows, as layers around the merged router: ids and traces, the time limit, panics,
//! problems for whatever goes wrong outside a handler, security headers, and the access table.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use domain::command::CommandError;
use futures::FutureExt;
use tracing::Instrument;

use super::access;
use super::context::{REQUEST_ID, RequestContext};
use super::leftover::Leftover;
use super::problem::Problem;
use super::tokens::Tokens;

/// How long a request may take unless configured otherwise.
pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(30);

/// What the conventions need to know.
#[derive(Clone)]
pub struct Conventions {
    /// Verifies access tokens.
    pub tokens: Arc<Tokens>,
    /// How long a request may take from its head to its answer.
    pub time_limit: Duration,
}

impl Conventions {
    /// The conventions with [`DEFAULT_TIME_LIMIT`].
    #[must_use]
    pub fn new(tokens: Arc<Tokens>) -> Self {
        Self { tokens, time_limit: DEFAULT_TIME_LIMIT }
    }
}

/// Puts the conventions around all routes of the server, which must be merged before. Sets the router's fallback.
pub fn apply(router: Router, conventions: &Conventions) -> Router {
    router
        .fallback(async || access::unknown_route())
        .layer(from_fn_with_state(conventions.tokens.clone(), access::guard))
        .layer(from_fn_with_state(conventions.time_limit, envelope))
}

async fn envelope(State(time_limit): State<Duration>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let context = RequestContext::of(request.headers());
    let template = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    // The template and not the path: paths may hold what doesn't belong into logs.
    let span = tracing::info_span!(
        "request",
        correlation_id = %context.correlation_id,
        request_id = &*context.request_id,
        method = %request.method(),
        path = template,
    );
    request.extensions_mut().insert(context.clone());
    let leftover = Leftover::watch(&mut request);
    let handled = async {
        let run = AssertUnwindSafe(next.run(request)).catch_unwind();
        let response = match tokio::time::timeout(time_limit, run).await {
            Ok(Ok(response)) => response,
            Ok(Err(panic)) => panicked(&*panic),
            Err(_) => too_slow(&context, time_limit),
        };
        let mut response = with_problem(response);
        if let Some(leftover) = leftover {
            leftover.drain().await;
        }
        finish(&mut response, &context, &template);
        let (status, ms) = (response.status().as_u16(), started.elapsed().as_secs_f64() * 1000.0);
        if status >= 500 {
            tracing::warn!(status, ms, "answered");
        } else {
            tracing::info!(status, ms, "answered");
        }
        response
    };
    handled.instrument(span).await
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let said =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = said.unwrap_or("(no message)"), "a handler panicked");
    Problem::internal().into_response()
}

/// The time limit has passed. A command that was issued may still be decided, so its id is named.
fn too_slow(context: &RequestContext, time_limit: Duration) -> Response {
    let problem = match context.issued() {
        Some(id) => CommandError::OutcomeUnknown(id).into(),
        None => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            format!("the request took longer than {} s; nothing was changed", time_limit.as_secs()),
        ),
    };
    problem.into_response()
}

/// Gives an error that some library answered (empty, plain text or HTML) the form that every error has. Its headers stay.
fn with_problem(response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    if content_type
        .is_some_and(|t| t.starts_with("application/json") || t.starts_with("application/problem+json"))
    {
        return response;
    }
    let (mut old, _) = response.into_parts();
    old.headers.remove(header::CONTENT_TYPE);
    old.headers.remove(header::CONTENT_LENGTH);
    let mut new = problem_of(status).into_response();
    for (name, value) in &old.headers {
        new.headers_mut().insert(name.clone(), value.clone());
    }
    new
}

/// What a status says where nothing more is known.
fn problem_of(status: StatusCode) -> Problem {
    let (code, detail) = match status {
        StatusCode::BAD_REQUEST => ("bad-request", "the request is malformed"),
        StatusCode::NOT_FOUND => ("unknown-route", "there is no such path; see /docs"),
        StatusCode::METHOD_NOT_ALLOWED => {
            ("method-not-allowed", "this resource has other methods; see the allow header")
        }
        StatusCode::NOT_ACCEPTABLE => {
            ("not-acceptable", "nothing of what the accept header asks for can be had here")
        }
        StatusCode::REQUEST_TIMEOUT => ("request-timeout", "the request came too slowly"),
        StatusCode::PAYLOAD_TOO_LARGE => ("body-too-large", "the request's body is too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("unsupported-media-type", "the body must be application/json"),
        StatusCode::SERVICE_UNAVAILABLE => ("unavailable", "the service can't answer now; repeat later"),
        StatusCode::URI_TOO_LONG => ("uri-too-long", "the request's path and parameters are too long"),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            ("headers-too-large", "the request's headers are too many or too large")
        }
        _ if status.is_server_error() => ("internal", "an internal error; it has been logged"),
        _ => ("bad-request", "the request can't be answered"),
    };
    Problem::new(status, code, detail)
}

/// The answer to a request whose head could not be understood, so that it never came to a router. Its body is the problem's
/// JSON text.
#[must_use]
pub fn unreadable(status: StatusCode) -> Response<Vec<u8>> {
    let problem = problem_of(status);
    let text = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = problem.into_response();
    finish(&mut response, &RequestContext::of(&HeaderMap::new()), "");
    response.map(|_| text)
}

/// The headers of every answer.
fn finish(response: &mut Response, context: &RequestContext, template: &str) {
    let documentation = template.starts_with("/docs");
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&context.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let policy = if documentation {
        "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
    } else {
        "default-src 'none'; frame-ancestors 'none'"
    };
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    if !documentation {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
}

#[cfg(test)]
mod tests;
