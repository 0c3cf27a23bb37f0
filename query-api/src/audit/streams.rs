//! One stream: its events, and its state as of then.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use chrono::{DateTime, Utc};
use command_api::web::caller::Caller;
use command_api::web::openapi::{ById, Usual};
use command_api::web::problem::Problem;
use domain::Timestamp;
use domain::stream::StreamId;
use domain::uuids::any_spelling;
use projections::audit::events::{self, ReadStreams as _};

use crate::audit::event::EventDoc;
use crate::audit::fold::{Fold, StateAsOf, Until};
use crate::web::ask::{Ask, not_parked};
use crate::web::cursor::{Scope, bad_cursor};
use crate::web::docs::{ConditionalParam, PageParams, SyncParam};
use crate::web::failed::Failed;
use crate::web::params::{Params, digits};
use crate::web::reply::{ListOf, ok, tagged};
use crate::web::state::QueryState;

/// How many events a fold reads at once.
const FOLD_PAGE: usize = 500;
/// The longest id of a stream, in bytes.
const MAX_ID: usize = 200;

/// The stream of a path; an unknown type has no streams.
fn stream_of(state: &QueryState, tenant: &str, kind: &str, id: &str) -> Result<StreamId, Problem> {
    if !state.ports.registry.kinds().any(|known| known == kind) || id.len() > MAX_ID || id.contains('\0') {
        return Err(Problem::not_found("stream"));
    }
    // UUIDs name the same stream in every spelling; other ids, such as those of e-mail claims, stay as they are.
    Ok(match any_spelling(id) {
        Some(uuid) => StreamId::new(tenant, kind, uuid),
        None => StreamId::new(tenant, kind, id),
    })
}

/// The events of a stream, oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/audit/streams/{type}/{id}/events",
    operation_id = "list_stream_events",
    tag = "audit",
    summary = "List a stream's events",
    params(
        ("type" = String, Path, description = "the aggregate type: order, product, inventory, payment, shipment, user, fulfilment, …"),
        ("id" = String, Path, description = "the aggregate's id; of inventory, the product's"),
        PageParams,
        SyncParam,
    ),
    responses((status = 200, description = "A page of events", body = ListOf<EventDoc>), Usual, ById)
)]
pub(crate) async fn stream_events(
    State(state): State<QueryState>,
    caller: Caller,
    Path((kind, id)): Path<(String, String)>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let stream = stream_of(&state, &caller.tenant, &kind, &id)?;
    let ask = Ask::read(&state, &headers, raw.as_deref(), &["limit", "cursor"])?;
    let (user, operation) = (caller.user_id.to_string(), format!("list_stream_events/{stream}"));
    let scope = Scope { operation: &operation, tenant: &caller.tenant, caller: Some(&user), filters: vec![] };
    let page = ask.page(&state, &scope)?;
    let after = page.after.map(|place| place.parse::<u64>().map_err(|_| bad_cursor())).transpose()?;
    let read = ask.settle(&state, &[events::NAME]).await?;
    not_parked(&state, events::NAME, &stream).await?;
    // One more than the page shows whether there is a next one.
    let mut events = read.stream_events(&stream, after.unwrap_or(0), page.limit + 1).await?;
    if events.is_empty() && after.is_none() {
        return Err(Problem::not_found("stream").into());
    }
    let more = events.len() > page.limit;
    events.truncate(page.limit);
    let next = events.last().filter(|_| more).map(|event| event.version.to_string());
    ok(&ListOf::new(&state, &scope, events.iter().map(Arc::as_ref).collect(), next.as_deref()))
}

/// A stream's state as of an instant (inclusive) or a version; today's without either.
#[utoipa::path(
    get,
    path = "/api/v1/audit/streams/{type}/{id}",
    operation_id = "get_stream_state",
    tag = "audit",
    summary = "Get a stream's state as of then",
    params(
        ("type" = String, Path, description = "the aggregate type: order, product, inventory, payment, shipment, user, fulfilment, …"),
        ("id" = String, Path, description = "the aggregate's id; of inventory, the product's"),
        ("at" = Option<DateTime<Utc>>, Query, description = "the instant, RFC 3339; not together with `version`"),
        ("version" = Option<u64>, Query, description = "the stream's version; not together with `at`"),
        SyncParam,
        ConditionalParam,
    ),
    responses(
        (status = 200, description = "The state", body = StateAsOf, headers(("ETag" = String, description = "the version, quoted"))),
        (status = 304, description = "The client has this version"),
        Usual, ById,
    )
)]
pub(crate) async fn stream_state(
    State(state): State<QueryState>,
    caller: Caller,
    Path((kind, id)): Path<(String, String)>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let stream = stream_of(&state, &caller.tenant, &kind, &id)?;
    let ask = Ask::read(&state, &headers, raw.as_deref(), &["at", "version"])?;
    let until = until(&ask.params)?;
    let read = ask.settle(&state, &[events::NAME]).await?;
    not_parked(&state, events::NAME, &stream).await?;
    let initial = state.ports.registry.initial(&kind).ok_or_else(|| Problem::not_found("stream"))?;
    let mut fold = Fold::new(initial, until);
    loop {
        let events = read.stream_events(&stream, fold.version(), FOLD_PAGE).await?;
        if !fold.take(&events)? || events.len() < FOLD_PAGE {
            break;
        }
    }
    let found = fold.finish()?.ok_or_else(|| Problem::not_found("state of that stream"))?;
    tagged(&ask, &found.version, &found)
}

/// `at` or `version`.
fn until(params: &Params) -> Result<Until, Problem> {
    match (params.get("at"), params.get("version")) {
        (Some(_), Some(_)) => Err(Problem::bad_parameter("at", "give either at or version")),
        (Some(text), None) => instant(text).map(Until::At).ok_or_else(|| {
            Problem::bad_parameter("at", "not an RFC 3339 time, such as 2026-01-31T12:00:00Z")
        }),
        (None, Some(text)) => digits(text)
            .map(Until::Version)
            .ok_or_else(|| Problem::bad_parameter("version", "not a stream's version, an integer from 1")),
        (None, None) => Ok(Until::Now),
    }
}

/// An RFC 3339 time. The plus of an offset that was not percent-encoded arrives as a space.
fn instant(text: &str) -> Option<Timestamp> {
    let parsed = DateTime::parse_from_rfc3339(text).or_else(|error| match text.rsplit_once(' ') {
        Some((time, offset)) => DateTime::parse_from_rfc3339(&format!("{time}+{offset}")),
        None => Err(error),
    });
    parsed.ok().map(|at| at.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(raw: &str) -> Result<Until, u16> {
        Params::parse(Some(raw), &["at", "version"], &[])
            .and_then(|params| until(&params))
            .map_err(|p| p.status)
    }

    // proves: AUD-2
    #[test]
    fn instants_are_rfc_3339_in_any_zone() {
        let noon = Until::At(DateTime::from_timestamp(1_767_268_800, 0).unwrap());
        for raw in [
            "at=2026-01-01T12:00:00Z",
            "at=2026-01-01T12:00:00.000000Z",
            "at=2026-01-01T13:00:00%2B01:00",
            "at=2026-01-01T13:00:00+01:00",
            "at=2026-01-01T11:00:00-01:00",
        ] {
            assert_eq!(read(raw), Ok(noon), "{raw}");
        }
        assert_eq!(read("version=7"), Ok(Until::Version(7)));
        assert_eq!(read(""), Ok(Until::Now));
    }

    #[test]
    fn anything_else_is_refused() {
        for raw in [
            "at=",
            "at=now",
            "at=2026-01-01",
            "at=2026-13-01T00:00:00Z",
            "version=",
            "version=-1",
            "version=1.0",
        ] {
            assert_eq!(read(raw), Err(400), "{raw}");
        }
        assert_eq!(read("at=2026-01-01T12:00:00Z&version=1"), Err(400));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            let _ = (instant(&text), read(&format!("at={text}")), read(&format!("version={text}")));
        }
    }
}
