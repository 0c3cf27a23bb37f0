//! The whole log of a tenant, shard after shard. The first page pins the shards' heads in its cursor, so paging ends however
//! fast new events come.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use command_api::web::caller::Caller;
use command_api::web::openapi::Usual;
use command_api::web::problem::Problem;
use domain::position::{Position, Seen, Shard};
use projections::audit::events;
use projections::engine::events::EventFilter;

use crate::audit::event::EventDoc;
use crate::web::ask::{Ask, known_shard};
use crate::web::cursor::{Scope, bad_cursor};
use crate::web::docs::{PageParams, SyncParam};
use crate::web::failed::Failed;
use crate::web::params::Params;
use crate::web::reply::{ListOf, ok};
use crate::web::state::QueryState;

/// Events of the whole log, in order of shard and position, up to what the events read model has seen at the first page. What a page
/// costs is bounded: where matches are rare it may have few items, or none, and go on with `next_cursor`.
#[utoipa::path(
    get,
    path = "/api/v1/audit/events",
    operation_id = "list_events",
    tag = "audit",
    summary = "List the log's events",
    params(
        ("from" = Option<String>, Query, description = "start at this position `shard:n` (inclusive), and go on through the later shards", example = "0:1", pattern = "^[0-9]+:[0-9]+$"),
        ("type" = Option<String>, Query, description = "exactly this dotted type", example = "order.placed", max_length = 500),
        ("actor" = Option<String>, Query, description = "exactly this actor", max_length = 500),
        ("correlation_id" = Option<Uuid>, Query, description = "exactly this correlation id"),
        PageParams,
        SyncParam,
    ),
    responses((status = 200, description = "A page of events", body = ListOf<EventDoc>), Usual)
)]
pub(crate) async fn list_events(
    State(state): State<QueryState>,
    caller: Caller,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let known = ["from", "type", "actor", "correlation_id", "limit", "cursor"];
    let ask = Ask::read(&state, &headers, raw.as_deref(), &known)?;
    let shards = state.config.shards;
    let filter = EventFilter {
        event_type: ask.params.text("type")?.map(str::to_owned),
        actor: ask.params.text("actor")?.map(str::to_owned),
        correlation_id: ask.params.uuid("correlation_id")?,
    };
    let from = from(&ask.params, shards)?;
    let user = caller.user_id.to_string();
    let scope = Scope {
        operation: "list_events",
        tenant: &caller.tenant,
        caller: Some(&user),
        filters: ask.params.filters(),
    };
    let page = ask.page(&state, &scope)?;
    let place =
        page.after.map(|text| EventsPlace::parse(&text, shards).ok_or_else(bad_cursor)).transpose()?;
    let read = ask.settle(&state, &[events::NAME]).await?;
    let EventsPlace { from, heads } =
        place.unwrap_or_else(|| EventsPlace { from, heads: read.seen(events::NAME) });
    let found = read.events(&caller.tenant, &filter, from, &heads, page.limit).await?;
    let next = found.next.map(|from| EventsPlace { from, heads }.to_text());
    ok(&ListOf::new(&state, &scope, found.events.iter().map(Arc::as_ref).collect(), next.as_deref()))
}

/// `from`, by default the first position of the first shard.
fn from(params: &Params, shards: u16) -> Result<Position, Problem> {
    let Some(text) = params.get("from") else { return Ok(Position { shard: Shard(0), n: 1 }) };
    let bad = |detail: String| Problem::bad_parameter("from", detail);
    let position: Position = text.parse().map_err(|_| bad("not a position of the form shard:n".into()))?;
    known_shard(position, shards).map_err(bad)
}

/// Where a page starts, and where the list ends in every shard.
#[derive(Debug, PartialEq, Eq)]
struct EventsPlace {
    from: Position,
    heads: Seen,
}

impl EventsPlace {
    /// `shard:n`, a semicolon, and the heads of the shards in order with commas between.
    fn to_text(&self) -> String {
        let heads: Vec<_> = self.heads.positions().map(|head| head.n.to_string()).collect();
        format!("{};{}", self.from, heads.join(","))
    }

    fn parse(text: &str, shards: u16) -> Option<Self> {
        let (from, list) = text.split_once(';')?;
        let mut heads = Seen::none(shards);
        let mut count = 0_u16;
        for head in list.split(',') {
            heads.advance(Position { shard: Shard(count), n: head.parse().ok()? });
            count = count.checked_add(1)?;
        }
        (count == shards).then_some(())?;
        Some(Self { from: from.parse().ok()?, heads })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(text: &str) -> Position {
        text.parse().unwrap()
    }

    // proves: AUD-1
    #[test]
    fn a_place_keeps_its_pinned_heads() {
        let mut heads = Seen::none(3);
        heads.advance(position("1:42"));
        heads.advance(position("2:7"));
        let place = EventsPlace { from: position("1:5"), heads };
        assert_eq!(place.to_text(), "1:5;0,42,7");
        assert_eq!(EventsPlace::parse("1:5;0,42,7", 3), Some(place));
        for text in ["1:5;0,42", "1:5;0,42,7,9", "1:5;0,42,x", "1:5", "5;0,42,7", ""] {
            assert_eq!(EventsPlace::parse(text, 3), None, "{text}");
        }
    }

    #[test]
    fn lists_start_anywhere_in_the_store() {
        let read = |raw| {
            let params = Params::parse(Some(raw), &["from"], &[]).unwrap();
            from(&params, 16).map_err(|p| p.status)
        };
        assert_eq!(read(""), Ok(position("0:1")));
        assert_eq!(read("from=15:9"), Ok(position("15:9")));
        for raw in ["from=16:1", "from=", "from=1", "from=1:x", "from=-1:1", "from=1:2:3", "from=1:1,2:2"] {
            assert_eq!(read(raw), Err(400), "{raw}");
        }
    }
}
