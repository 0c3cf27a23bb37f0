//! The conventions that every operation follows, as layers around the merged router: the door, ids and traces, the time limit, panics,
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
use metrics::Recorder;
use tracing::Instrument;

use crate::web::access::{self, AccessTable, Operation};
use crate::web::context::{REQUEST_ID, RequestContext};
use crate::web::door::Door;
use crate::web::leftover::Leftover;
use crate::web::problem::Problem;
use crate::web::requests::Requests;
use crate::web::tokens::Tokens;
use crate::web::unserved::Unserved;

/// How long a request may take unless configured otherwise.
pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(10);

/// Whoever asks how the server is must not wait for those that keep it busy.
const HEALTH: &str = "/health";

/// What the conventions need to know.
#[derive(Clone)]
pub struct Conventions {
    /// Verifies access tokens.
    pub tokens: Arc<Tokens>,
    /// Who may call what.
    pub access: Arc<AccessTable>,
    /// How long a request may take from its head to its answer.
    pub time_limit: Duration,
    /// How many may be in progress.
    pub door: Door,
    /// What metrics tell of them.
    pub requests: Arc<Requests>,
}

impl Conventions {
    /// The conventions of these operations with [`DEFAULT_TIME_LIMIT`] and a door of the usual size; metrics go to the recorder.
    #[must_use]
    pub fn new(
        tokens: Arc<Tokens>,
        operations: &[Operation],
        recorder: Arc<dyn Recorder + Send + Sync>,
    ) -> Self {
        Self {
            tokens,
            access: Arc::new(AccessTable::of(operations)),
            time_limit: DEFAULT_TIME_LIMIT,
            door: Door::default(),
            requests: Arc::new(Requests::of(operations, recorder)),
        }
    }
}

/// Puts the conventions around all routes of the server, which must be merged before. Sets the router's fallback.
pub fn apply(router: Router, conventions: &Conventions) -> Router {
    let Conventions { time_limit, door, requests, .. } = conventions.clone();
    router
        .fallback(async || access::unknown_route())
        .layer(from_fn_with_state((conventions.tokens.clone(), conventions.access.clone()), access::guard))
        .layer(from_fn_with_state((time_limit, door, requests), envelope))
}

async fn envelope(
    State((time_limit, door, requests)): State<(Duration, Door, Arc<Requests>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let template = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let operation = requests.operation(request.method(), &template);
    let is_health = template.starts_with(HEALTH);
    let inside = if is_health { None } else { door.enter(request.method()) };
    if inside.is_none() && !is_health {
        let response = turned_away(request).await;
        requests.answered(operation, response.status(), started.elapsed());
        return response;
    }
    let context = RequestContext::of(request.headers());
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
        // Its work is done: what the client still sends is not.
        drop(inside);
        let mut response = with_problem(response);
        if let Some(leftover) = leftover {
            leftover.drain().await;
        }
        finish(&mut response, &context, &template);
        let took = started.elapsed();
        requests.answered(operation, response.status(), took);
        let (status, ms) = (response.status().as_u16(), took.as_secs_f64() * 1000.0);
        if status >= 500 {
            tracing::warn!(status, ms, "answered");
        } else {
            tracing::info!(status, ms, "answered");
        }
        response
    };
    handled.instrument(span).await
}

/// The answer to a request that is not let in. It is not logged: a crowd would fill the log, and metrics count it.
async fn turned_away(mut request: Request) -> Response {
    let context = RequestContext::of(request.headers());
    let leftover = Leftover::watch(&mut request);
    drop(request);
    let problem = Unserved::Overloaded.problem("too many requests are in progress; nothing was done");
    let mut response = problem.into_response();
    if let Some(leftover) = leftover {
        leftover.drain().await;
    }
    finish(&mut response, &context, "");
    response
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
        None => {
            let seconds = time_limit.as_secs_f32();
            let detail = format!("the request took longer than {seconds} s; nothing was changed");
            Unserved::Overloaded.problem(detail)
        }
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
        // Never a code of its own: see `Unserved`.
        status if status.as_u16() == 503 => ("", "the service can't answer now; repeat later"),
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
    bare(problem_of(status))
}

/// The answer to a request of a connection that is one too many: nothing of it is looked at.
#[must_use]
pub fn no_room() -> Response<Vec<u8>> {
    let problem = Unserved::Overloaded.problem("too many connections are open; nothing was done");
    bare(problem)
}

fn bare(problem: Problem) -> Response<Vec<u8>> {
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
