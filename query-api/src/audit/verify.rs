//! Verification of the whole log: one at a time, since it reads every byte.

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use command_api::http::access::Caller;
use command_api::http::openapi::{ByRole, Usual};
use projections::read_models::Model;
use tokio::time::timeout;

use crate::ask::Ask;
use crate::docs::SyncParam;
use crate::failed::Failed;
use crate::reply::ok;
use crate::state::QueryState;
use crate::verifier::VerifyReport;

/// Checks the hash chain of every shard and the rows derived from it. A fault is part of the answer; `ok` is false then.
#[utoipa::path(
    get,
    path = "/api/v1/audit/verify",
    operation_id = "verify_log",
    tag = "audit",
    summary = "Verify the log",
    params(SyncParam),
    responses((status = 200, description = "What was found", body = VerifyReport), Usual, ByRole),
    security(("bearer" = []))
)]
pub(crate) async fn verify(
    State(state): State<QueryState>,
    _caller: Caller,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let ask = Ask::read(&state, &headers, raw.as_deref(), &[])?;
    // What the events read model has seen is in the log.
    ask.settle(&state, &[Model::Events]).await?;
    let turn = timeout(state.config.wait, state.verifying.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        return Err(Failed::busy("another verification is running"));
    };
    ok(&state.ports.verifier.verify().await?)
}
