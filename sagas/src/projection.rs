//! The saga read model: the work queue of the shop's processes, and where every saga of fulfilment stands.

use domain::event::RecordedEvent;
use domain::upcast::DecodeError;
use projections::engine::mapping::{TENANT, UPDATED_AT};
use projections::engine::model::Projection;
use projections::engine::rows::{ColumnKind, Group, Index, RowChange, Table, Value, col};
use uuid::Uuid;

use crate::REACTIONS;
use crate::engine::process::react_all;
use crate::engine::queue::{SAGA_WORK, row};
use crate::fulfilment::KIND;
use crate::fulfilment::events::{Ending, FulfilmentEvent};
use crate::fulfilment::steps::StepName;

/// The projection's name; its watermark tells the worker what rows that it reads hold.
pub use projections::engine::sagas::NAME;

/// Where every saga stands.
pub static SAGAS: Table = Table {
    name: "sagas",
    about: "One row per order's fulfilment.",
    key: &[TENANT, col("order_id", ColumnKind::Uuid, "The order")],
    groups: &[Group {
        name: "saga",
        source: "saga",
        columns: &[
            col("started_at", ColumnKind::Time, "When it began; null before the order is known"),
            col("status", ColumnKind::Text, "running, compensating, completed, compensated"),
            col("status_since", ColumnKind::Time, "Since when"),
            col("waiting_for", ColumnKind::Text, "What a waiting one waits for"),
            col("waiting_since", ColumnKind::Time, "Since when"),
            col("reason", ColumnKind::Text, "Why the order isn't fulfilled"),
            col("step", ColumnKind::Text, "The step that was asked for last"),
            col("attempts", ColumnKind::Int, "Which attempt of it"),
            col(
                "needs",
                ColumnKind::Text,
                "Why it can't go on by itself: refund_refused, void_refused, carrier_refused, step_refused",
            ),
            col("needs_step", ColumnKind::Text, "With which step"),
            col("needs_attempts", ColumnKind::Int, "Which attempt of it"),
            col("needs_since", ColumnKind::Time, "Since when"),
            UPDATED_AT,
        ],
    }],
    indexes: &[
        Index {
            name: "sagas_unattended",
            on: &["updated_at"],
            only: Some(
                "started_at IS NOT NULL AND status IN ('running', 'compensating') AND waiting_for IS NULL",
            ),
        },
        Index { name: "sagas_needs", on: &["needs_since"], only: Some("needs IS NOT NULL") },
        Index {
            name: "sagas_open",
            on: &["tenant", "order_id"],
            only: Some("status IN ('running', 'compensating')"),
        },
        Index { name: "sagas_started", on: &["tenant", "started_at", "order_id"], only: None },
    ],
};

/// The projection.
#[derive(Debug, Clone, Copy, Default)]
pub struct SagaProjection;

impl Projection for SagaProjection {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        3
    }

    fn tables(&self) -> &'static [&'static Table] {
        static TABLES: [&Table; 2] = [&SAGA_WORK, &SAGAS];
        &TABLES
    }

    fn map(&self, event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
        let work = react_all(&REACTIONS, event)?.into_iter();
        let mut rows = work.map(|change| row(event, change)).collect::<Result<Vec<_>, _>>()?;
        if event.stream.kind() == KIND {
            rows.push(standing(event, event.stream_uuid()?, event.typed()?));
        }
        Ok(rows)
    }
}

/// Where the saga stands after an event.
fn standing(event: &RecordedEvent, order_id: Uuid, decoded: FulfilmentEvent) -> RowChange {
    let mut standing = Vec::new();
    let at = || Value::Time(event.time);
    let status = |text: &str| [("status", Value::Text(text.to_owned())), ("status_since", at())];
    let counted = |attempt: u32| Value::Int(i64::from(attempt));
    let named = |step: StepName| Value::Text(step.to_string());
    let no_needs = ["needs", "needs_step", "needs_attempts", "needs_since"].map(|name| (name, Value::Null));
    match decoded {
        FulfilmentEvent::Started(_) => {
            standing.push(("started_at", at()));
            standing.extend(status("running"));
        }
        FulfilmentEvent::StepRequested(requested) => {
            let (step, attempt) = (requested.step, requested.attempt);
            standing.extend([("step", named(step)), ("attempts", counted(attempt))]);
            standing.push(("waiting_for", Value::Null));
        }
        FulfilmentEvent::StepFinished(_)
        | FulfilmentEvent::SignalReceived(_)
        | FulfilmentEvent::DeadlineReached(_) => standing.push(("waiting_for", Value::Null)),
        FulfilmentEvent::DeadlineSet(_) | FulfilmentEvent::DeadlineCleared(_) => {}
        FulfilmentEvent::Compensating(compensating) => {
            standing.extend(status("compensating"));
            standing.push(("waiting_for", Value::Null));
            standing.push(("reason", Value::Text(compensating.reason.as_str().to_owned())));
        }
        FulfilmentEvent::Waiting(waiting) => {
            let waiting_for = Value::Text(waiting.waiting_for.as_str().to_owned());
            standing.extend([("waiting_for", waiting_for), ("waiting_since", at())]);
        }
        FulfilmentEvent::Ended(ended) => {
            standing.extend(status(match ended.ending {
                Ending::Completed => "completed",
                Ending::Compensated { .. } => "compensated",
            }));
            standing.push(("waiting_for", Value::Null));
        }
        FulfilmentEvent::NeedsSomebody(needs) => standing.extend([
            ("needs", Value::Text(needs.need.as_str().to_owned())),
            ("needs_step", named(needs.step)),
            ("needs_attempts", counted(needs.attempt)),
            ("needs_since", at()),
        ]),
        FulfilmentEvent::Retried(_) | FulfilmentEvent::Resolved(_) => standing.extend(no_needs),
    }
    standing.push(("updated_at", Value::Time(event.time)));
    RowChange {
        table: &SAGAS,
        key: vec![Value::Text(event.stream.tenant().to_owned()), Value::Uuid(order_id)],
        group: "saga",
        version: event.version,
        set: standing,
    }
}
