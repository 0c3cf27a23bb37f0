//! The saga read model: the work queue and where every saga stands.
//!
//! Work is opened by one event and closed by another, often of streams in different shards, so either may be applied first:
//! the row has two groups of columns, `opened` and `closed`, and is open while the first is there and the second isn't.

use domain::event::RecordedEvent;
use domain::shop::order::OrderEvent;
use domain::shop::payment::{PaymentEvent, PaymentStatus};
use domain::shop::shipment::ShipmentEvent;
use domain::upcast::DecodeError;
use projections::model::Projection;
use projections::rows::{Column, ColumnKind, Group, RowChange, Table, Value};
use uuid::Uuid;

use crate::fulfilment::KIND;
use crate::fulfilment::events::{DeadlineSet, Ending, Followed, FulfilmentEvent, Signal};
use crate::fulfilment::steps::StepName;
use crate::work::{Work, WorkItem, id};
use crate::{ids, upcasters};

/// The projection's name; its watermark wakes the worker.
pub const NAME: &str = "sagas";

const fn column(name: &'static str, kind: ColumnKind) -> Column {
    Column { name, kind }
}

/// The work queue.
pub static SAGA_WORK: Table = Table {
    name: "saga_work",
    key: &[column("tenant", ColumnKind::Text), column("id", ColumnKind::Text)],
    groups: &[
        Group {
            name: "opened",
            columns: &[
                column("order_id", ColumnKind::Uuid),
                // `commands`, `payments`, `carrier`.
                column("lane", ColumnKind::Text),
                // A `WorkItem`.
                column("item", ColumnKind::Json),
                // Null: at once.
                column("due_at", ColumnKind::Time),
                column("opened_at", ColumnKind::Time),
            ],
        },
        Group { name: "closed", columns: &[column("closed_at", ColumnKind::Time)] },
    ],
};

/// Where every saga stands.
pub static SAGAS: Table = Table {
    name: "sagas",
    key: &[column("tenant", ColumnKind::Text), column("order_id", ColumnKind::Uuid)],
    groups: &[Group {
        name: "saga",
        columns: &[
            column("started_at", ColumnKind::Time),
            // `running`, `compensating`, `completed`, `compensated`; null before the order is known.
            column("status", ColumnKind::Text),
            column("status_since", ColumnKind::Time),
            // What a waiting one waits for.
            column("waiting_for", ColumnKind::Text),
            column("waiting_since", ColumnKind::Time),
            // Why the order isn't fulfilled.
            column("reason", ColumnKind::Text),
            // The step that was asked for last, and which attempt of it.
            column("step", ColumnKind::Text),
            column("attempts", ColumnKind::Int),
            // Why it can't go on by itself, and with which step.
            column("needs", ColumnKind::Text),
            column("needs_step", ColumnKind::Text),
            column("needs_attempts", ColumnKind::Int),
            column("needs_since", ColumnKind::Time),
            column("updated_at", ColumnKind::Time),
        ],
    }],
};

/// The projection.
#[derive(Debug, Clone, Copy, Default)]
pub struct SagaProjection;

impl Projection for SagaProjection {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        2
    }

    fn tables(&self) -> &'static [&'static Table] {
        static TABLES: [&Table; 2] = [&SAGA_WORK, &SAGAS];
        &TABLES
    }

    fn map(&self, event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
        match event.stream.kind() {
            "order" => of_order(event),
            "payment" => of_payment(event),
            "shipment" => of_shipment(event),
            KIND => of_saga(event),
            _ => Ok(Vec::new()),
        }
    }
}

fn stream_uuid(event: &RecordedEvent) -> Result<Uuid, DecodeError> {
    event.stream.id().parse().map_err(|_| DecodeError {
        event_type: event.event_type.clone(),
        reason: "the stream's id is not a UUID".to_owned(),
    })
}

fn open(
    event: &RecordedEvent,
    order_id: Uuid,
    id: String,
    work: Work,
    due_at: Option<domain::Timestamp>,
) -> Result<RowChange, DecodeError> {
    let tenant = event.stream.tenant();
    let lane = work.lane().as_str().to_owned();
    let item = WorkItem {
        tenant: tenant.to_owned(),
        id: id.clone(),
        order_id,
        correlation_id: event.correlation_id,
        cause_id: event.id,
        work,
    };
    let item = serde_json::to_string(&item).map_err(|e| DecodeError::shape(&event.event_type, &e))?;
    Ok(RowChange {
        table: &SAGA_WORK,
        key: vec![Value::Text(tenant.to_owned()), Value::Text(id)],
        group: "opened",
        version: event.version,
        set: vec![
            ("order_id", Value::Uuid(order_id)),
            ("lane", Value::Text(lane)),
            ("item", Value::Json(item)),
            ("due_at", due_at.map_or(Value::Null, Value::Time)),
            ("opened_at", Value::Time(event.time)),
        ],
    })
}

fn close(event: &RecordedEvent, id: String) -> RowChange {
    RowChange {
        table: &SAGA_WORK,
        key: vec![Value::Text(event.stream.tenant().to_owned()), Value::Text(id)],
        group: "closed",
        version: event.version,
        set: vec![("closed_at", Value::Time(event.time))],
    }
}

fn of_order(event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
    let order_id = stream_uuid(event)?;
    let decoded =
        upcasters::chain().decode::<OrderEvent>(&event.event_type, event.schema_version, &event.data)?;
    let (id, work) = match decoded {
        // The saga starts in the same frame.
        OrderEvent::Placed(placed) if placed.parts.is_some() => return Ok(Vec::new()),
        OrderEvent::Placed(placed) => (id::start(order_id), Work::Start(Box::new(placed))),
        OrderEvent::CancellationRequested(_) => {
            let asked = Signal::CancellationRequested { order_version: event.version };
            (id::signal(order_id, asked), Work::Signal(asked))
        }
        _ => return Ok(Vec::new()),
    };
    Ok(vec![open(event, order_id, id, work, None)?])
}

fn of_payment(event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
    let payment_id = stream_uuid(event)?;
    let decoded =
        upcasters::chain().decode::<PaymentEvent>(&event.event_type, event.schema_version, &event.data)?;
    match decoded {
        PaymentEvent::Refunded(refunded) => {
            let (order_id, refund_id) = (refunded.order_id, refunded.refund_id);
            let work = Work::Refund { payment_id, refund_id, amount: refunded.amount };
            let mut changes = vec![open(event, order_id, id::refund(payment_id, refund_id), work, None)?];
            let whole = refunded.status == PaymentStatus::Refunded;
            if whole && ids::refund_attempt(order_id, refund_id).is_none() {
                changes.push(signal(
                    event,
                    order_id,
                    Signal::FullyRefunded { payment_version: event.version },
                )?);
            }
            Ok(changes)
        }
        PaymentEvent::RefundSettled(settled) => {
            refund_ended(event, payment_id, settled.order_id, settled.refund_id, true)
        }
        PaymentEvent::RefundResolved(resolved) => {
            refund_ended(event, payment_id, resolved.order_id, resolved.refund_id, true)
        }
        PaymentEvent::RefundFailed(failed) => {
            refund_ended(event, payment_id, failed.order_id, failed.refund_id, false)
        }
        _ => Ok(Vec::new()),
    }
}

fn refund_ended(
    event: &RecordedEvent,
    payment_id: Uuid,
    order_id: Uuid,
    refund_id: Uuid,
    paid: bool,
) -> Result<Vec<RowChange>, DecodeError> {
    let mut changes = vec![close(event, id::refund(payment_id, refund_id))];
    // A saga waits for its own refunds only.
    if let Some(attempt) = ids::refund_attempt(order_id, refund_id) {
        let told = match (paid, attempt) {
            (true, 1) => Signal::RefundSettled,
            (true, _) => Signal::LaterRefundSettled { attempt },
            (false, _) => Signal::RefundFailed { attempt },
        };
        changes.push(signal(event, order_id, told)?);
    }
    Ok(changes)
}

fn open_deadline(event: &RecordedEvent, order_id: Uuid, set: &DeadlineSet) -> Result<RowChange, DecodeError> {
    let work = Work::Deadline { name: set.name.clone() };
    open(event, order_id, id::deadline(order_id, &set.name), work, Some(set.due_at))
}

fn signal(event: &RecordedEvent, order_id: Uuid, signal: Signal) -> Result<RowChange, DecodeError> {
    open(event, order_id, id::signal(order_id, signal), Work::Signal(signal), None)
}

fn of_shipment(event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
    let decoded =
        upcasters::chain().decode::<ShipmentEvent>(&event.event_type, event.schema_version, &event.data)?;
    let (order_id, told) = match decoded {
        ShipmentEvent::Dispatched(dispatched) => (dispatched.order_id, Signal::ShipmentDispatched),
        ShipmentEvent::Delivered(delivered) => (delivered.order_id, Signal::ShipmentDelivered),
        _ => return Ok(Vec::new()),
    };
    Ok(vec![signal(event, order_id, told)?])
}

fn of_saga(event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
    let order_id = stream_uuid(event)?;
    let decoded =
        upcasters::chain().decode::<FulfilmentEvent>(&event.event_type, event.schema_version, &event.data)?;
    let mut standing = Vec::new();
    let at = || Value::Time(event.time);
    let status = |text: &str| [("status", Value::Text(text.to_owned())), ("status_since", at())];
    let counted = |attempt: u32| Value::Int(i64::from(attempt));
    let named = |step: StepName| Value::Text(step.to_string());
    let no_needs = ["needs", "needs_step", "needs_attempts", "needs_since"].map(|name| (name, Value::Null));
    let mut changes = Vec::new();
    for followed in decoded.followed() {
        match followed {
            Followed::Took { .. } => {}
            Followed::DeadlineSet(set) => changes.push(open_deadline(event, order_id, set)?),
            Followed::DeadlineCleared(cleared) => {
                changes.push(close(event, id::deadline(order_id, &cleared.name)));
            }
        }
    }
    match decoded {
        FulfilmentEvent::Started(started) => {
            if started.order.parts.is_none() {
                changes.push(close(event, id::start(order_id)));
            }
            standing.push(("started_at", at()));
            standing.extend(status("running"));
        }
        FulfilmentEvent::StepRequested(requested) => {
            let (step, attempt) = (requested.step, requested.attempt);
            standing.extend([("step", named(step)), ("attempts", counted(attempt))]);
            let work = Work::Step { step, attempt, action: requested.action };
            changes.push(open(event, order_id, id::step(order_id, step, attempt), work, None)?);
            standing.push(("waiting_for", Value::Null));
        }
        FulfilmentEvent::StepFinished(finished) => {
            changes.push(close(event, id::step(order_id, finished.step, finished.attempt)));
            standing.push(("waiting_for", Value::Null));
        }
        FulfilmentEvent::SignalReceived(received) => {
            changes.push(close(event, id::signal(order_id, received.signal)));
            standing.push(("waiting_for", Value::Null));
        }
        FulfilmentEvent::DeadlineSet(set) => changes.push(open_deadline(event, order_id, &set)?),
        FulfilmentEvent::DeadlineCleared(cleared) => {
            changes.push(close(event, id::deadline(order_id, &cleared.name)));
        }
        FulfilmentEvent::DeadlineReached(reached) => {
            changes.push(close(event, id::deadline(order_id, &reached.name)));
            standing.push(("waiting_for", Value::Null));
        }
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
        FulfilmentEvent::Retried(_) => standing.extend(no_needs),
        FulfilmentEvent::Resolved(resolved) => {
            changes.push(close(event, id::step(order_id, resolved.step, resolved.attempt)));
            standing.extend(no_needs);
        }
    }
    standing.push(("updated_at", Value::Time(event.time)));
    changes.push(RowChange {
        table: &SAGAS,
        key: vec![Value::Text(event.stream.tenant().to_owned()), Value::Uuid(order_id)],
        group: "saga",
        version: event.version,
        set: standing,
    });
    Ok(changes)
}
