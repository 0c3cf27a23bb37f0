//! The caller's own profile, with its personal data in the clear.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use command_api::identity::shown;
use command_api::web::caller::Caller;
use command_api::web::openapi::{ById, Usual};
use command_api::web::preconditions::personal_tag;
use command_api::web::problem::Problem;
use domain::Timestamp;
use domain::event::serialize_wire_time;
use domain::identity::user::Role;
use domain::personal::ERASED;
use domain::position::SyncToken;
use projections::engine::read_models::ReadModels;
use projections::identity::users::{self, ReadUsers as _, UserRow};
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

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
        (status = 200, description = "The profile", body = shown::Profile, headers(("ETag" = String, description = "the stream's version, quoted"))),
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
    let profile = Opened {
        id: row.id,
        email: next(),
        name: next(),
        roles: row.roles,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    };
    let tag = personal_tag(profile.version, [profile.email.as_str(), &profile.name]);
    tagged(&ask, &tag, &profile)
}

/// A user's row with its personal fields opened; [`shown::Profile`] describes it.
#[derive(Serialize)]
struct Opened {
    id: Uuid,
    email: String,
    name: String,
    roles: Vec<Role>,
    version: u64,
    #[serde(serialize_with = "serialize_wire_time")]
    created_at: Timestamp,
    #[serde(serialize_with = "serialize_wire_time")]
    updated_at: Timestamp,
}

/// The caller's row. Who holds an access token has signed up, so a missing row most likely hasn't been projected yet: then
/// waits for everything that is in the log of their shard now.
async fn user_row(state: &QueryState, read: Arc<dyn ReadModels>, caller: &Caller) -> Result<UserRow, Failed> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_shape_is_the_one_that_is_written() {
        let opened = Opened {
            id: Uuid::nil(),
            email: "a@example.org".into(),
            name: ERASED.into(),
            roles: Role::ALL.to_vec(),
            version: 2,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        };
        let profile: shown::Profile = serde_json::from_value(serde_json::to_value(opened).unwrap()).unwrap();
        assert_eq!((profile.version, profile.roles.len()), (2, 8));
    }
}
