//! The saga's reaction to a trigger: pure, and the same trigger twice changes nothing.

use chrono::Duration;
use domain::Timestamp;

use super::Trigger;
use super::events::{
    DeadlineReached, FulfilmentEvent, Resolved, Retried, SignalReceived, Started, StepFinished,
};
use super::state::{Deadline, Fulfilment, signal_key};
use super::{operation, plan};

/// What the saga records: first what the trigger says, then what follows from it. The commands to send are the actions of
/// the `fulfilment.step_requested` events among them.
#[must_use]
pub fn react(state: &Fulfilment, trigger: &Trigger, now: Timestamp) -> Vec<FulfilmentEvent> {
    let Some(fact) = fact(state, trigger, now) else { return Vec::new() };
    let mut state = state.clone();
    state.fold(&fact);
    let mut events = vec![fact];
    follow(&mut state, now, &mut events);
    events
}

/// Adds what follows by itself from the state.
pub(super) fn follow(state: &mut Fulfilment, now: Timestamp, events: &mut Vec<FulfilmentEvent>) {
    // Ends: every round asks for a step, sets or clears a deadline, or changes the phase, each at most once.
    loop {
        let more = plan::next(state, now);
        if more.is_empty() {
            return;
        }
        more.iter().for_each(|event| state.fold(event));
        events.extend(more);
    }
}

/// What a trigger tells the saga; `None` when it says nothing new.
fn fact(state: &Fulfilment, trigger: &Trigger, now: Timestamp) -> Option<FulfilmentEvent> {
    match trigger {
        Trigger::OrderPlaced { order_id, order, terms } => state.started.is_none().then(|| {
            let ttl = i64::try_from(terms.reservation_ttl_ms).map_or(Duration::MAX, Duration::milliseconds);
            FulfilmentEvent::Started(Started {
                order_id: *order_id,
                order: (**order).clone(),
                terms: terms.clone(),
                reserved_until: now.checked_add_signed(ttl).unwrap_or(Timestamp::MAX_UTC),
            })
        }),
        Trigger::Signalled(signal) => (!state.signals.contains(&signal_key(*signal)))
            .then_some(FulfilmentEvent::SignalReceived(SignalReceived { signal: *signal })),
        Trigger::StepFinished { step, attempt, outcome } => {
            let running = state.steps.get(step).is_some_and(|s| s.attempt == *attempt && s.is_open());
            running.then(|| {
                let outcome = outcome.clone();
                FulfilmentEvent::StepFinished(StepFinished { step: *step, attempt: *attempt, outcome })
            })
        }
        Trigger::DeadlineReached { name } => {
            let open = matches!(state.deadlines.get(name), Some(Deadline::Open { due_at }) if *due_at <= now);
            open.then(|| FulfilmentEvent::DeadlineReached(DeadlineReached { name: name.clone() }))
        }
        Trigger::Retry => {
            let steps = operation::to_retry(state);
            (!steps.is_empty()).then_some(FulfilmentEvent::Retried(Retried { steps }))
        }
        Trigger::Resolve { step, outcome, reason } => {
            let attempt = operation::to_resolve(state, *step)?;
            let (step, outcome, reason) = (*step, *outcome, reason.clone());
            Some(FulfilmentEvent::Resolved(Resolved { step, attempt, outcome, reason }))
        }
    }
}

/// Whether an open deadline is due; also so for one that isn't open, which a repeat finds.
#[must_use]
pub(super) fn is_due(state: &Fulfilment, name: &str, now: Timestamp) -> bool {
    !matches!(state.deadlines.get(name), Some(Deadline::Open { due_at }) if *due_at > now)
}
