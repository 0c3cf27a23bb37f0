//! `GET /metrics`: the process's numbers in Prometheus' text format. No part of the API, so outside its conventions; no login, but for
//! operators only, as health in full.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use command_api::web::problem::Problem;
use metrics::{counter, gauge, with_local_recorder};

use super::exposure::Operator;
use super::health::{Health, HealthParts};
use crate::figures;

/// The route.
pub(super) fn router(health: Health) -> Router {
    Router::new().route("/metrics", get(tell)).with_state(health)
}

async fn tell(State(health): State<Health>, operator: Operator) -> Result<impl IntoResponse, Problem> {
    operator.required()?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text(&health).await))
}

/// What was recorded since the start, and what is read now.
async fn text(health: &Health) -> String {
    let parts = health.parts();
    let heads = parts.backends.heads();
    let projections = parts.progress.status(&heads).await;
    let sagas = health.sagas().await;
    let now = figures::of_now();
    with_local_recorder(&now, || {
        serving(parts);
        for head in &heads {
            gauge!("tillstream_log_head_position", "shard" => head.shard.to_string()).set(head.n as f64);
        }
        for projection in &projections {
            let of = [("projection", projection.name)];
            gauge!("tillstream_projection_lag_events", &of).set(projection.lag_events as f64);
            gauge!("tillstream_projection_lag_seconds", &of).set(projection.lag_seconds);
            gauge!("tillstream_projection_parked_events", &of).set(projection.parked_events as f64);
        }
        if parts.sagas.is_some() && sagas.fault.is_none() {
            for reason in parts.stuck_reasons {
                let found = sagas.reasons.iter().filter(|saga| saga.reason == *reason).count();
                gauge!("tillstream_sagas_stuck", "reason" => *reason).set(found as f64);
            }
        }
    });
    parts.figures.render() + &now.handle().render()
}

/// What the parts know at once.
fn serving(parts: &HealthParts) {
    let (door, open) = (&parts.door, &parts.connections);
    gauge!("tillstream_http_requests_in_progress").set(door.inside() as f64);
    gauge!("tillstream_http_requests_most").set(door.most() as f64);
    counter!("tillstream_http_requests_turned_away_total").absolute(door.turned_away());
    gauge!("tillstream_http_connections_open").set(open.served() as f64);
    counter!("tillstream_http_connections_told_total").absolute(open.told());
    counter!("tillstream_http_connections_dropped_total").absolute(open.dropped());
    gauge!("tillstream_feed_bytes").set(parts.backends.feed_bytes() as f64);
    if let Some(owners) = &parts.owners {
        gauge!("tillstream_owner_shards").set(owners.heads().len() as f64);
        for (shard, figures) in owners.figures() {
            let since = figures.derived_failing().map_or(Duration::ZERO, |(since, _)| since);
            gauge!("tillstream_owner_derived_failing_seconds", "shard" => shard.to_string()).set(since);
        }
    }
    if let Some(last) = parts.conservation.as_ref().and_then(|watch| watch.last()) {
        for shard in &last.shards {
            let differs = u8::from(shard.difference.is_some());
            gauge!("tillstream_conservation_differs", "shard" => shard.head.shard.to_string()).set(differs);
        }
        let at = last.at.timestamp_micros() as f64 / 1e6;
        gauge!("tillstream_conservation_checked_timestamp_seconds").set(at);
        gauge!("tillstream_conservation_failed").set(u8::from(last.fault.is_some()));
    }
}
