//! What events do to the work queue. The read model's rows and the worker's memory are made of the same changes.

use domain::Timestamp;
use domain::event::RecordedEvent;
use domain::shop::order::OrderEvent;
use domain::shop::payment::{PaymentEvent, PaymentStatus};
use domain::shop::shipment::ShipmentEvent;
use domain::upcast::DecodeError;
use uuid::Uuid;

use crate::fulfilment::KIND;
use crate::fulfilment::events::{DeadlineCleared, DeadlineSet, Followed, FulfilmentEvent, Signal};
use crate::work::{Work, WorkItem, id};
use crate::{ids, upcasters};

/// What an event does to the work queue of its tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkChange {
    /// There is something to do.
    Opened {
        /// What.
        item: Box<WorkItem>,
        /// When; `None`: at once.
        due_at: Option<Timestamp>,
    },
    /// It is done, or needn't be done any more.
    Closed {
        /// See [`id`].
        id: String,
    },
}

/// What an event does to the work queue. Pure.
///
/// # Errors
/// The event can't be decoded.
pub fn of(event: &RecordedEvent) -> Result<Vec<WorkChange>, DecodeError> {
    match event.stream.kind() {
        "order" => of_order(event),
        "payment" => of_payment(event),
        "shipment" => of_shipment(event),
        KIND => Ok(of_saga(event, stream_uuid(event)?, &decode_saga(event)?)),
        _ => Ok(Vec::new()),
    }
}

pub(crate) fn stream_uuid(event: &RecordedEvent) -> Result<Uuid, DecodeError> {
    event.stream.id().parse().map_err(|_| DecodeError {
        event_type: event.event_type.clone(),
        reason: "the stream's id is not a UUID".to_owned(),
    })
}

pub(crate) fn decode_saga(event: &RecordedEvent) -> Result<FulfilmentEvent, DecodeError> {
    upcasters::chain().decode(&event.event_type, event.schema_version, &event.data)
}

fn open(event: &RecordedEvent, order_id: Uuid, id: String, work: Work) -> WorkChange {
    open_at(event, order_id, id, work, None)
}

fn open_at(
    event: &RecordedEvent,
    order_id: Uuid,
    id: String,
    work: Work,
    due_at: Option<Timestamp>,
) -> WorkChange {
    let tenant = event.stream.tenant().to_owned();
    let (correlation_id, cause_id) = (event.correlation_id, event.id);
    let item = WorkItem { tenant, id, order_id, correlation_id, cause_id, work };
    WorkChange::Opened { item: Box::new(item), due_at }
}

fn close(id: String) -> WorkChange {
    WorkChange::Closed { id }
}

fn of_order(event: &RecordedEvent) -> Result<Vec<WorkChange>, DecodeError> {
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
    Ok(vec![open(event, order_id, id, work)])
}

fn of_payment(event: &RecordedEvent) -> Result<Vec<WorkChange>, DecodeError> {
    let payment_id = stream_uuid(event)?;
    let decoded =
        upcasters::chain().decode::<PaymentEvent>(&event.event_type, event.schema_version, &event.data)?;
    match decoded {
        PaymentEvent::Refunded(refunded) => {
            let (order_id, refund_id) = (refunded.order_id, refunded.refund_id);
            let work = Work::Refund { payment_id, refund_id, amount: refunded.amount };
            let mut changes = vec![open(event, order_id, id::refund(payment_id, refund_id), work)];
            let whole = refunded.status == PaymentStatus::Refunded;
            if whole && ids::refund_attempt(order_id, refund_id).is_none() {
                let told = Signal::FullyRefunded { payment_version: event.version };
                changes.push(signal(event, order_id, told));
            }
            Ok(changes)
        }
        PaymentEvent::RefundSettled(settled) => {
            Ok(refund_ended(event, payment_id, settled.order_id, settled.refund_id, true))
        }
        PaymentEvent::RefundResolved(resolved) => {
            Ok(refund_ended(event, payment_id, resolved.order_id, resolved.refund_id, true))
        }
        PaymentEvent::RefundFailed(failed) => {
            Ok(refund_ended(event, payment_id, failed.order_id, failed.refund_id, false))
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
) -> Vec<WorkChange> {
    let mut changes = vec![close(id::refund(payment_id, refund_id))];
    // A saga waits for its own refunds only.
    if let Some(attempt) = ids::refund_attempt(order_id, refund_id) {
        let told = match (paid, attempt) {
            (true, 1) => Signal::RefundSettled,
            (true, _) => Signal::LaterRefundSettled { attempt },
            (false, _) => Signal::RefundFailed { attempt },
        };
        changes.push(signal(event, order_id, told));
    }
    changes
}

fn signal(event: &RecordedEvent, order_id: Uuid, signal: Signal) -> WorkChange {
    open(event, order_id, id::signal(order_id, signal), Work::Signal(signal))
}

fn of_shipment(event: &RecordedEvent) -> Result<Vec<WorkChange>, DecodeError> {
    let decoded =
        upcasters::chain().decode::<ShipmentEvent>(&event.event_type, event.schema_version, &event.data)?;
    let (order_id, told) = match decoded {
        ShipmentEvent::Dispatched(dispatched) => (dispatched.order_id, Signal::ShipmentDispatched),
        ShipmentEvent::Delivered(delivered) => (delivered.order_id, Signal::ShipmentDelivered),
        _ => return Ok(Vec::new()),
    };
    Ok(vec![signal(event, order_id, told)])
}

/// What an event of a saga does to the work queue, once it is decoded.
pub(crate) fn of_saga(event: &RecordedEvent, order_id: Uuid, decoded: &FulfilmentEvent) -> Vec<WorkChange> {
    let set = |set: &DeadlineSet| {
        let work = Work::Deadline { name: set.name.clone() };
        open_at(event, order_id, id::deadline(order_id, &set.name), work, Some(set.due_at))
    };
    let cleared = |cleared: &DeadlineCleared| close(id::deadline(order_id, &cleared.name));
    let followed = decoded.followed().iter().filter_map(|followed| match followed {
        Followed::Took { .. } => None,
        Followed::DeadlineSet(deadline) => Some(set(deadline)),
        Followed::DeadlineCleared(deadline) => Some(cleared(deadline)),
    });
    let change = match decoded {
        // Others start in the order's frame, and were no work.
        FulfilmentEvent::Started(started) => {
            started.order.parts.is_none().then(|| close(id::start(order_id)))
        }
        FulfilmentEvent::StepRequested(requested) => {
            let (step, attempt) = (requested.step, requested.attempt);
            let work = Work::Step { step, attempt, action: requested.action.clone() };
            Some(open(event, order_id, id::step(order_id, step, attempt), work))
        }
        FulfilmentEvent::StepFinished(finished) => {
            Some(close(id::step(order_id, finished.step, finished.attempt)))
        }
        FulfilmentEvent::SignalReceived(received) => Some(close(id::signal(order_id, received.signal))),
        FulfilmentEvent::DeadlineSet(deadline) => Some(set(deadline)),
        FulfilmentEvent::DeadlineCleared(deadline) => Some(cleared(deadline)),
        FulfilmentEvent::DeadlineReached(reached) => Some(close(id::deadline(order_id, &reached.name))),
        FulfilmentEvent::Resolved(resolved) => {
            Some(close(id::step(order_id, resolved.step, resolved.attempt)))
        }
        FulfilmentEvent::Compensating(_)
        | FulfilmentEvent::Waiting(_)
        | FulfilmentEvent::Ended(_)
        | FulfilmentEvent::NeedsSomebody(_)
        | FulfilmentEvent::Retried(_) => None,
    };
    change.into_iter().chain(followed).collect()
}
