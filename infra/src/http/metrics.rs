//! `GET /metrics`: the process's numbers in Prometheus' text format. No part of the API, so outside its conventions; no login, but for
//! operators only, as health in full.

use std::fmt::{Display, Write as _};

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use command_api::owner::{Counter, Gauge};
use command_api::web::problem::Problem;

use super::exposure::Operator;
use super::health::Health;

/// The route.
pub(super) fn router(health: Health) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(health)
}

async fn metrics(State(health): State<Health>, operator: Operator) -> Result<impl IntoResponse, Problem> {
    operator.required()?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text(&health).await))
}

/// Families of numbers, one after another.
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, help: &str) {
        self.typed(name, help, "gauge");
    }

    fn typed(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a text never fails.
        let _ = writeln!(self.0, "# HELP tillstream_{name} {help}\n# TYPE tillstream_{name} {kind}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.typed(name, help, "counter");
        let _ = writeln!(self.0, "tillstream_{name} {value}");
    }

    fn gauge(&mut self, name: &str, label: &str, labelled: impl Display, value: impl Display) {
        let _ = writeln!(self.0, "tillstream_{name}{{{label}=\"{labelled}\"}} {value}");
    }

    fn single(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, help);
        let _ = writeln!(self.0, "tillstream_{name} {value}");
    }
}

/// Why sagas are stuck; every one has a value, so that an alarm finds it before it is needed.
const REASONS: [&str; 8] = [
    "refund_refused",
    "void_refused",
    "carrier_refused",
    "step_refused",
    "payments_overdue",
    "carrier_overdue",
    "commands_overdue",
    "halted",
];

async fn text(health: &Health) -> String {
    let parts = health.parts();
    let mut out = Text(String::new());
    let (door, open) = (&parts.door, &parts.connections);
    out.single("http_requests_in_progress", "Requests being answered.", door.inside());
    out.single("http_requests_most", "Requests that may be answered at once.", door.most());
    out.counter(
        "http_requests_turned_away_total",
        "Requests answered by 503 for want of room.",
        door.turned_away(),
    );
    out.single("http_connections_open", "Connections being served.", open.served());
    out.counter("http_connections_told_total", "Connections answered by 503 for want of room.", open.told());
    out.counter(
        "http_connections_dropped_total",
        "Connections closed unanswered for want of room.",
        open.dropped(),
    );
    let heads = parts.backends.heads();
    out.family("log_head_position", "The last position of the log known here.");
    for head in &heads {
        out.gauge("log_head_position", "shard", head.shard, head.n);
    }
    out.single(
        "feed_bytes",
        "Bytes of decided frames in memory for those who follow.",
        parts.backends.feed_bytes(),
    );
    if let Some(owners) = &parts.owners {
        out.single("owner_shards", "Shards that this process owns.", owners.heads().len());
        for (gauge, name, help) in Gauge::ALL {
            out.family(name, help);
            owners
                .figures()
                .for_each(|(shard, figures)| out.gauge(name, "shard", shard, figures.gauge(gauge)));
        }
        for (counter, name, help) in Counter::ALL {
            out.typed(name, help, "counter");
            owners
                .figures()
                .for_each(|(shard, figures)| out.gauge(name, "shard", shard, figures.counter(counter)));
        }
        out.family(
            "owner_derived_failing_seconds",
            "For how long derived rows can't be written; 0 when they can.",
        );
        for (shard, figures) in owners.figures() {
            let seconds = figures.derived_failing().map_or(0.0, |(since, _)| since.as_secs_f64());
            out.gauge("owner_derived_failing_seconds", "shard", shard, seconds);
        }
    }
    let projections = parts.progress.status(&heads).await;
    if !projections.is_empty() {
        out.family("projection_lag_events", "Events that a projection is behind the log.");
        projections
            .iter()
            .for_each(|p| out.gauge("projection_lag_events", "projection", p.name, p.lag_events));
        out.family("projection_lag_seconds", "Age of the oldest event that a projection has yet to apply.");
        projections
            .iter()
            .for_each(|p| out.gauge("projection_lag_seconds", "projection", p.name, p.lag_seconds));
        out.family("projection_parked_events", "Events that a projection has parked.");
        projections
            .iter()
            .for_each(|p| out.gauge("projection_parked_events", "projection", p.name, p.parked_events));
    }
    let sagas = health.sagas().await;
    if parts.sagas.is_some() && sagas.fault.is_none() {
        out.family("sagas_stuck", "Sagas that don't go on by themselves, by reason; of the first hundred.");
        for reason in REASONS {
            let found = sagas.reasons.iter().filter(|saga| saga.reason == reason).count();
            out.gauge("sagas_stuck", "reason", reason, found);
        }
    }
    if let Some(last) = parts.conservation.as_ref().and_then(|watch| watch.last()) {
        out.family("conservation_differs", "1 where a copy of the events differs from the log.");
        for shard in &last.shards {
            let differs = u8::from(shard.difference.is_some());
            out.gauge("conservation_differs", "shard", shard.head.shard, differs);
        }
        let at = last.at.timestamp_micros() as f64 / 1e6;
        out.single("conservation_checked_timestamp_seconds", "When the copies were last compared.", at);
        let failed = u8::from(last.fault.is_some());
        out.single("conservation_failed", "1 when the last comparison couldn't be done.", failed);
    }
    out.0
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: OPS-3
    #[test]
    fn a_family_has_its_help_and_type_before_its_values() {
        let mut out = Text(String::new());
        out.family("lag", "How far.");
        out.gauge("lag", "projection", "orders", 3);
        out.single("owned", "How many.", 2);
        let want = "# HELP tillstream_lag How far.\n# TYPE tillstream_lag gauge\ntillstream_lag{projection=\"orders\"} 3\n\
                    # HELP tillstream_owned How many.\n# TYPE tillstream_owned gauge\ntillstream_owned 2\n";
        assert_eq!(out.0, want);
    }
}
