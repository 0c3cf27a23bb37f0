//! Sagas: where the fulfilment of orders stands, for operators.

use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use command_api::web::caller::Caller;
use command_api::web::openapi::{ById, Usual};
use command_api::web::problem::Problem;
use command_api::web::routes::Routes;
use domain::Timestamp;
use domain::stream::StreamId;
use projections::engine::sagas::{self, SagaFilter};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::web::ask::{Ask, not_parked};
use crate::web::cursor::Scope;
use crate::web::docs::{PageParams, SyncParam};
use crate::web::failed::Failed;
use crate::web::params::{digits, path_id};
use crate::web::reply::{ListOf, ok};
use crate::web::state::QueryState;

const KIND: &str = "fulfilment";
const STATUSES: [(&str, &str); 5] = [
    ("stuck", "stuck"),
    ("running", "running"),
    ("waiting", "waiting"),
    ("compensating", "compensating"),
    ("ended", "ended"),
];
const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// Where a saga stands.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SagaStatus {
    /// It doesn't go on by itself.
    Stuck,
    /// It has something to do.
    Running,
    /// It waits for the warehouse or the customer.
    Waiting,
    /// It takes back what was done.
    Compensating,
    /// Nothing is left to do.
    Ended,
}

/// The saga of an order.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the fields are for the OpenAPI document; `SagaRow` writes the same ones")]
struct Saga {
    /// The order.
    order_id: Uuid,
    /// Where it stands.
    status: SagaStatus,
    /// The step that it is at; null when it has ended.
    #[schema(required = true, example = "refund-payment")]
    step: Option<String>,
    /// What it waits for that may take as long as it takes: `dispatch`, `delivery`, `refund_settlement`; null otherwise.
    #[schema(required = true)]
    waiting_for: Option<String>,
    /// Since when it has this status.
    since: DateTime<Utc>,
    /// Why it is stuck: `refund_refused`, `void_refused`, `carrier_refused`, `step_refused`; `payments_overdue`, `carrier_overdue`,
    /// `commands_overdue`; `halted`. Else why its order isn't fulfilled, or null.
    #[schema(required = true)]
    reason: Option<String>,
    /// How many times the step was asked for.
    attempts: u32,
}

/// Their operations, for those who see where sagas stand.
pub(crate) fn routes(readers: &[impl Copy + Into<&'static str>]) -> Routes<QueryState> {
    Routes::default().roles(readers, routes!(list_sagas)).roles(readers, routes!(get_saga))
}

/// The saga of an order.
#[utoipa::path(
    get,
    path = "/api/v1/operations/sagas/{order_id}",
    operation_id = "get_saga",
    tag = "operations",
    summary = "Get the saga of an order",
    params(("order_id" = Uuid, Path, description = "the order's id"), SyncParam),
    responses((status = 200, description = "Where it stands", body = Saga), Usual, ById)
)]
pub(crate) async fn get_saga(
    State(state): State<QueryState>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let id = path_id(&id, "saga")?;
    let ask = Ask::read(&state, &headers, raw.as_deref(), &[])?;
    let read = ask.settle(&state, &[sagas::NAME]).await?;
    let saga = read.saga(&caller.tenant, id, overdue(&state)).await?;
    not_parked(&state, sagas::NAME, &StreamId::new(&caller.tenant, KIND, id)).await?;
    ok(&saga.ok_or_else(|| Problem::not_found("saga"))?)
}

/// Sagas in the order in which they began: those that are stuck, run, wait, take back or have ended.
#[utoipa::path(
    get,
    path = "/api/v1/operations/sagas",
    operation_id = "list_sagas",
    tag = "operations",
    summary = "List sagas",
    params(
        ("status" = Option<SagaStatus>, Query, description = "only sagas with this status"),
        ("older_than" = Option<String>, Query, description = "only those that have had it for so long (`90s`, `15m`, `2h`, `1d`, or a \
          number of seconds), or since before this instant (RFC 3339)"),
        ("reason" = Option<String>, Query, description = "only those with this reason"),
        PageParams,
        SyncParam,
    ),
    responses((status = 200, description = "A page of sagas", body = ListOf<Saga>), Usual)
)]
pub(crate) async fn list_sagas(
    State(state): State<QueryState>,
    caller: Caller,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let known = ["status", "older_than", "reason", "limit", "cursor"];
    let ask = Ask::read(&state, &headers, raw.as_deref(), &known)?;
    let filter = SagaFilter {
        status: ask.params.choice("status", &STATUSES)?.map(str::to_owned),
        reason: ask.params.text("reason")?.map(str::to_owned),
        since: ask.params.get("older_than").map(before).transpose()?,
        overdue: overdue(&state),
    };
    let user = caller.user_id.to_string();
    let scope = Scope {
        operation: "list_sagas",
        tenant: &caller.tenant,
        caller: Some(&user),
        filters: ask.params.filters(),
    };
    let page = ask.page(&state, &scope)?;
    let read = ask.settle(&state, &[sagas::NAME]).await?;
    let listed = read.sagas(&caller.tenant, &filter, &page).await?;
    ok(&ListOf::new(&state, &scope, listed.items, listed.next.as_deref()))
}

/// Work that was due before is older than its bound.
fn overdue(state: &QueryState) -> Timestamp {
    let age = TimeDelta::from_std(state.config.stuck_after).unwrap_or(TimeDelta::MAX);
    Utc::now().checked_sub_signed(age).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The instant that `older_than` names.
fn before(text: &str) -> Result<Timestamp, Problem> {
    let refused = || {
        let detail =
            "not a length of time like 90s, 15m, 2h or 1d, nor a number of seconds, nor an RFC 3339 instant";
        Problem::bad_parameter("older_than", detail)
    };
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc().max(Timestamp::UNIX_EPOCH));
    }
    let unit = UNITS.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
    let (number, size) = unit.unwrap_or((text, 1));
    let seconds = digits::<u64>(number).and_then(|n| n.checked_mul(size)).ok_or_else(refused)?;
    let age = TimeDelta::from_std(Duration::from_secs(seconds)).map_err(|_| refused())?;
    Ok(Utc::now().checked_sub_signed(age).unwrap_or_default().max(Timestamp::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_lengths_of_time_or_instants() {
        for (text, seconds) in
            [("90s", 90), ("90", 90), ("0", 0), ("15m", 900), ("2h", 7_200), ("1d", 86_400)]
        {
            let since = before(text).unwrap();
            let age = Utc::now() - since;
            assert!((seconds..seconds + 60).contains(&age.num_seconds()), "{text}");
        }
        assert_eq!(before("2026-01-01T00:00:00Z").unwrap().timestamp(), 1_767_225_600);
        for text in ["", "x", "-1", "1.5h", "5w", "1 h", "99999999999999999999d", "9223372036854775807d", "s"]
        {
            assert!(before(text).is_err(), "{text}");
        }
    }
}
