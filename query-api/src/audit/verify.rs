//! Verification of the whole log, as a job: one at a time, since it reads every byte; and what the latest one found.

use projections::audit::events;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use command_api::web::body::{self, NoBody};
use command_api::web::caller::Caller;
use command_api::web::openapi::{ById, Usual, WithBody};
use command_api::web::problem::Problem;
use tokio::time::Instant;

use crate::verifier::{Verification, VerifyReport};
use crate::web::ask::Ask;
use crate::web::docs::SyncParam;
use crate::web::failed::Failed;
use crate::web::params::path_id;
use crate::web::reply::ok;
use crate::web::state::QueryState;

/// How long a look at the latest result takes at most, with its wait for one that covers all that is decided: less than any request may.
const WITHIN: Duration = Duration::from_secs(8);

/// Whether the hash chain of every shard holds, and the rows derived from it agree. Answers what was found of all that is decided by now, if
/// that takes some seconds only, else the latest result, whose `as_of` says of when it is. A large log is verified from where the last
/// sound verification ended; `POST /api/v1/audit/verifications` begins anew. A fault is part of the answer; `ok` is false then.
#[utoipa::path(
    get,
    path = "/api/v1/audit/verify",
    operation_id = "verify_log",
    tag = "audit",
    summary = "Get the latest verification's result",
    params(SyncParam),
    responses((status = 200, description = "What was found", body = VerifyReport), Usual)
)]
pub(crate) async fn verify(
    State(state): State<QueryState>,
    _caller: Caller,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let begun = Instant::now();
    let ask = Ask::read(&state, &headers, raw.as_deref(), &[])?;
    // What the events read model has seen is in the log.
    ask.settle(&state, &[events::NAME]).await?;
    match state.ports.verifier.latest(WITHIN.saturating_sub(begun.elapsed())).await? {
        Some(report) => ok(&report),
        None => Err(Failed::busy(
            "the first verification of this log is under way; POST /api/v1/audit/verifications answers where it tells its progress",
        )),
    }
}

/// Starts a verification of the whole log, from the first frame on. One runs at a time: while one does, that one's place is answered.
#[utoipa::path(
    post,
    path = "/api/v1/audit/verifications",
    operation_id = "start_verification",
    tag = "audit",
    summary = "Start a verification",
    responses(
        (status = 202, description = "It runs", body = Verification, headers(("Location" = String, description = "where its progress and result are"))),
        Usual, WithBody,
    )
)]
pub(crate) async fn start_verification(
    State(state): State<QueryState>,
    _caller: Caller,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failed> {
    Ask::read(&state, &headers, raw.as_deref(), &[])?;
    let bytes = body::read(&headers, body).await?;
    let NoBody = body::check(&body::parse::<NoBody>(&headers, &bytes)?)?;
    let id = state.ports.verifier.start();
    let started = state.ports.verifier.verification(id).ok_or_else(|| Failed::busy("it ended at once"))?;
    let mut response = ok(&started)?;
    *response.status_mut() = StatusCode::ACCEPTED;
    let location = HeaderValue::from_str(&format!("/api/v1/audit/verifications/{id}"));
    response.headers_mut().extend(location.map(|location| (header::LOCATION, location)));
    Ok(response)
}

/// A verification's progress and result. The last 64 are remembered by the process that ran them, until it ends: a verification that ran
/// then has ended with it, and is not found.
#[utoipa::path(
    get,
    path = "/api/v1/audit/verifications/{id}",
    operation_id = "get_verification",
    tag = "audit",
    summary = "Get a verification",
    params(("id" = uuid::Uuid, Path, description = "the verification's id"), SyncParam),
    responses((status = 200, description = "How it is", body = Verification), Usual, ById)
)]
pub(crate) async fn get_verification(
    State(state): State<QueryState>,
    _caller: Caller,
    Path(id): Path<String>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let id = path_id(&id, "verification")?;
    let ask = Ask::read(&state, &headers, raw.as_deref(), &[])?;
    ask.settle(&state, &[events::NAME]).await?;
    match state.ports.verifier.verification(id) {
        Some(verification) => ok(&verification),
        None => Err(gone().into()),
    }
}

fn gone() -> Problem {
    let problem = Problem::not_found("verification");
    let detail = "no verification of this id is known to this process; one that ran when a server stopped has ended with it";
    Problem { detail: detail.into(), ..problem }
}
