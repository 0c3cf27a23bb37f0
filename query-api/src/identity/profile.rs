//! The caller's own profile, with its personal data in the clear.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use command_api::web::caller::Caller;
use command_api::web::openapi::{ById, Usual};
use command_api::web::preconditions::personal_tag;
use command_api::web::problem::Problem;
use domain::identity::user::ProfileView;
use domain::personal::{ERASED, Sealed};
use domain::position::SyncToken;
use projections::engine::read_models::ReadModels;
use projections::identity::users::{self, ReadUsers as _};
use tokio::time::Instant;

use crate::web::ask::{Ask, not_parked};
use crate::web::docs::{ConditionalParam, SyncParam};
use crate::web::failed::Failed;
use crate::web::reply::tagged;
use crate::web::state::QueryState;

/// One's own profile.
#[utoipa::path(
    get,
    path = "/api/v1/users/me",
    operation_id = "get_profile",
    tag = "users",
    summary = "Get one's own profile",
    params(SyncParam, ConditionalParam),
    responses(
        (status = 200, description = "The profile", body = ProfileView, headers(("ETag" = String, description = "the stream's version, quoted"))),
        (status = 304, description = "The client has this version"),
        Usual, ById,
    )
)]
pub(crate) async fn get_profile(
    State(state): State<QueryState>,
    caller: Caller,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let ask = Ask::read(&state, &headers, raw.as_deref(), &[])?;
    let read = ask.settle(&state, &[users::NAME]).await?;
    let stream = caller.stream();
    not_parked(&state, users::NAME, &stream).await?;
    let row = user_row(&state, read, &caller).await?;
    let opened = state.ports.keys.open(&stream, &[&row.email, &row.name]).await?;
    let mut opened = opened.into_iter();
    let mut next = || opened.next().unwrap_or_else(|| ERASED.to_owned());
    let profile = row.opened(next(), next());
    let tag = personal_tag(profile.version, [profile.email.as_str(), &profile.name]);
    tagged(&ask, &tag, &profile)
}

/// The caller's row. Who holds an access token has signed up, so a missing row most likely hasn't been projected yet: then
/// waits for everything that is in the log of their shard now.
async fn user_row(
    state: &QueryState,
    read: Arc<dyn ReadModels>,
    caller: &Caller,
) -> Result<ProfileView<Sealed>, Failed> {
    if let Some(row) = read.user(&caller.tenant, caller.user_id).await? {
        return Ok(row);
    }
    let shard = caller.stream().shard(state.config.shards);
    let head = state.ports.log.head(shard).await?;
    let (token, deadline) = (SyncToken::of(head), Instant::now() + state.config.wait);
    read.wait_for(users::NAME, &token, state.config.wait).await?;
    let row = read.after(&token, deadline).user(&caller.tenant, caller.user_id).await?;
    row.ok_or_else(|| Problem::not_found("user").into())
}
