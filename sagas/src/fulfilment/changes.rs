//! What events give fulfilment to do.

use domain::Timestamp;
use domain::event::RecordedEvent;
use domain::ordering::order::OrderEvent;
use domain::payments::payment::{PaymentEvent, PaymentStatus};
use domain::shipping::shipment::ShipmentEvent;
use domain::stream::StreamRef;
use domain::upcast::DecodeError;
use uuid::Uuid;

use super::KIND;
use super::events::{DeadlineCleared, DeadlineSet, Followed, FulfilmentEvent, Signal};
use super::work::{FulfilmentWork, id};
use crate::engine::work::{Opening, WorkChange};
use crate::fulfilment::ids;

/// What an event does to the work queue. Pure.
///
/// # Errors
/// The event can't be decoded.
pub fn of(event: &RecordedEvent) -> Result<Vec<WorkChange>, DecodeError> {
    match event.stream.kind() {
        "order" => of_order(event),
        "payment" => of_payment(event),
        "shipment" => of_shipment(event),
        KIND => of_saga(event, event.stream_uuid()?, &event.typed()?),
        _ => Ok(Vec::new()),
    }
}

fn open(
    event: &RecordedEvent,
    order_id: Uuid,
    id: String,
    work: &FulfilmentWork,
    due_at: Option<Timestamp>,
) -> Result<WorkChange, DecodeError> {
    let closed_by = StreamRef { kind: KIND.to_owned(), id: order_id.to_string() };
    Opening { event, process: KIND, saga_id: order_id, closed_by }.of(id, work.lane(), work, due_at)
}

fn close(id: String) -> WorkChange {
    WorkChange::Closed { id }
}

fn of_order(event: &RecordedEvent) -> Result<Vec<WorkChange>, DecodeError> {
    let order_id = event.stream_uuid()?;
    let decoded = event.typed::<OrderEvent>()?;
    let (id, work) = match decoded {
        // The saga starts in the same frame.
        OrderEvent::Placed(placed) if placed.parts.is_some() => return Ok(Vec::new()),
        OrderEvent::Placed(placed) => (id::start(order_id), FulfilmentWork::Start(Box::new(placed))),
        OrderEvent::CancellationRequested(_) => {
            let asked = Signal::CancellationRequested { order_version: event.version };
            (id::signal(order_id, asked), FulfilmentWork::Signal(asked))
        }
        _ => return Ok(Vec::new()),
    };
    Ok(vec![open(event, order_id, id, &work, None)?])
}

/// What others' refunds, and the provider's word on the saga's own, tell it.
fn of_payment(event: &RecordedEvent) -> Result<Vec<WorkChange>, DecodeError> {
    if !event.event_type.starts_with("payment.refund") {
        return Ok(Vec::new());
    }
    let decoded = event.typed::<PaymentEvent>()?;
    let (order_id, refund_id, paid) = match decoded {
        PaymentEvent::Refunded(refunded) => {
            let whole = refunded.status == PaymentStatus::Refunded;
            let others = ids::refund_attempt(refunded.order_id, refunded.refund_id).is_none();
            let told = Signal::FullyRefunded { payment_version: event.version };
            return if whole && others { signal(event, refunded.order_id, told) } else { Ok(Vec::new()) };
        }
        PaymentEvent::RefundSettled(settled) => (settled.order_id, settled.refund_id, true),
        PaymentEvent::RefundResolved(resolved) => (resolved.order_id, resolved.refund_id, true),
        PaymentEvent::RefundFailed(failed) => (failed.order_id, failed.refund_id, false),
        _ => return Ok(Vec::new()),
    };
    // A saga waits for its own refunds only.
    let told = match (paid, ids::refund_attempt(order_id, refund_id)) {
        (_, None) => return Ok(Vec::new()),
        (true, Some(1)) => Signal::RefundSettled,
        (true, Some(attempt)) => Signal::LaterRefundSettled { attempt },
        (false, Some(attempt)) => Signal::RefundFailed { attempt },
    };
    signal(event, order_id, told)
}

fn signal(event: &RecordedEvent, order_id: Uuid, signal: Signal) -> Result<Vec<WorkChange>, DecodeError> {
    Ok(vec![open(event, order_id, id::signal(order_id, signal), &FulfilmentWork::Signal(signal), None)?])
}

fn of_shipment(event: &RecordedEvent) -> Result<Vec<WorkChange>, DecodeError> {
    let decoded = event.typed::<ShipmentEvent>()?;
    let (order_id, told) = match decoded {
        ShipmentEvent::Dispatched(dispatched) => (dispatched.order_id, Signal::ShipmentDispatched),
        ShipmentEvent::Delivered(delivered) => (delivered.order_id, Signal::ShipmentDelivered),
        _ => return Ok(Vec::new()),
    };
    signal(event, order_id, told)
}

/// What an event of a saga gives it to do, once it is decoded.
fn of_saga(
    event: &RecordedEvent,
    order_id: Uuid,
    decoded: &FulfilmentEvent,
) -> Result<Vec<WorkChange>, DecodeError> {
    let set = |set: &DeadlineSet| {
        let work = FulfilmentWork::Deadline { name: set.name.clone() };
        open(event, order_id, id::deadline(order_id, &set.name), &work, Some(set.due_at))
    };
    let cleared = |cleared: &DeadlineCleared| close(id::deadline(order_id, &cleared.name));
    let change = match decoded {
        // Others start in the order's frame, and were no work.
        FulfilmentEvent::Started(started) => {
            started.order.parts.is_none().then(|| Ok(close(id::start(order_id))))
        }
        FulfilmentEvent::StepRequested(requested) => {
            let (step, attempt) = (requested.step, requested.attempt);
            let work = FulfilmentWork::Step { step, attempt, action: requested.action.clone() };
            Some(open(event, order_id, id::step(order_id, step, attempt), &work, None))
        }
        FulfilmentEvent::StepFinished(finished) => {
            Some(Ok(close(id::step(order_id, finished.step, finished.attempt))))
        }
        FulfilmentEvent::SignalReceived(received) => Some(Ok(close(id::signal(order_id, received.signal)))),
        FulfilmentEvent::DeadlineSet(deadline) => Some(set(deadline)),
        FulfilmentEvent::DeadlineCleared(deadline) => Some(Ok(cleared(deadline))),
        FulfilmentEvent::DeadlineReached(reached) => Some(Ok(close(id::deadline(order_id, &reached.name)))),
        FulfilmentEvent::Resolved(resolved) => {
            Some(Ok(close(id::step(order_id, resolved.step, resolved.attempt))))
        }
        FulfilmentEvent::Compensating(_)
        | FulfilmentEvent::Waiting(_)
        | FulfilmentEvent::Ended(_)
        | FulfilmentEvent::NeedsSomebody(_)
        | FulfilmentEvent::Retried(_) => None,
    };
    let followed = decoded.followed().iter().filter_map(|followed| match followed {
        Followed::Took { .. } => None,
        Followed::DeadlineSet(deadline) => Some(set(deadline)),
        Followed::DeadlineCleared(deadline) => Some(Ok(cleared(deadline))),
    });
    change.into_iter().chain(followed).collect()
}
