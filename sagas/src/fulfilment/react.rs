//! The saga's reaction to a trigger: pure, and the same trigger twice changes nothing.

use chrono::Duration;
use domain::Timestamp;
use domain::aggregate::DecisionContext;
use domain::follow_on::Neighbours;
use uuid::Uuid;

use super::Trigger;
use super::action::Outcome;
use super::events::{
    DeadlineReached, Followed, FulfilmentEvent, Resolved, Retried, SignalReceived, Started, StepFinished,
    StepRequested,
};
use super::state::{Deadline, Fulfilment, signal_key};
use super::{operation, plan};

/// What the saga records: first what the trigger says, then what follows from it. The commands to send are the actions of
/// the `fulfilment.step_requested` events among them.
///
/// Where the order's streams share its shard, a step on one of them is taken at once, by way of `neighbours`, and stands with the deadlines in
/// the fact's own event.
pub fn react(
    state: &Fulfilment,
    trigger: &Trigger,
    context: &DecisionContext,
    neighbours: &mut dyn Neighbours,
) -> Vec<FulfilmentEvent> {
    let Some(fact) = fact(state, trigger, context.now) else { return Vec::new() };
    let mut state = state.clone();
    state.fold(&fact);
    let mut events = vec![fact];
    let together = state.started.as_ref().is_some_and(|started| started.order.parts.is_some());
    let mut beside =
        together.then(|| Beside { neighbours, tenant: context.stream.tenant(), followed: Vec::new() });
    follow(&mut state, context.now, &mut events, beside.as_mut());
    if let (Some(beside), Some(followed)) =
        (beside, events.first_mut().and_then(FulfilmentEvent::followed_mut))
    {
        *followed = beside.followed;
    }
    events
}

/// Where what follows at once is decided, and kept.
pub(super) struct Beside<'a> {
    neighbours: &'a mut dyn Neighbours,
    tenant: &'a str,
    followed: Vec<Followed>,
}

impl Beside<'_> {
    /// What comes of an event at once; `None` when nothing does, and it is one of its own.
    fn take(&mut self, order_id: Uuid, event: &FulfilmentEvent) -> Option<Followed> {
        match event {
            FulfilmentEvent::DeadlineSet(set) => Some(Followed::DeadlineSet(set.clone())),
            FulfilmentEvent::DeadlineCleared(cleared) => Some(Followed::DeadlineCleared(cleared.clone())),
            FulfilmentEvent::StepRequested(StepRequested { step, attempt, action }) => {
                let command = action.command(self.tenant, order_id)?;
                // Stock is everybody's, and in its own shard.
                if command.stream.kind() == "inventory" || !self.neighbours.reaches(&command.stream) {
                    return None;
                }
                let outcome = match self.neighbours.decide(&command.stream, &*command.command) {
                    Ok(()) => Outcome::Accepted,
                    Err(refusal) => Outcome::Refused { code: refusal.code },
                };
                Some(Followed::Took { step: *step, attempt: *attempt, outcome })
            }
            _ => None,
        }
    }
}

/// Adds what follows by itself from the state.
pub(super) fn follow(
    state: &mut Fulfilment,
    now: Timestamp,
    events: &mut Vec<FulfilmentEvent>,
    mut beside: Option<&mut Beside<'_>>,
) {
    let Some(order_id) = state.started.as_ref().map(|started| started.order_id) else { return };
    // Ends: every round asks for a step, sets or clears a deadline, or changes the phase, each at most once.
    loop {
        let more = plan::next(state, now);
        if more.is_empty() {
            return;
        }
        for event in more {
            if let Some(beside) = &mut beside
                && let Some(followed) = beside.take(order_id, &event)
            {
                state.follow(&followed);
                beside.followed.push(followed);
            } else {
                state.fold(&event);
                events.push(event);
            }
        }
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
                followed: Vec::new(),
            })
        }),
        Trigger::Signalled(signal) => (!state.signals.contains(&signal_key(*signal))).then_some(
            FulfilmentEvent::SignalReceived(SignalReceived { signal: *signal, followed: Vec::new() }),
        ),
        Trigger::StepFinished { step, attempt, outcome } => {
            let running = state.steps.get(step).is_some_and(|s| s.attempt == *attempt && s.is_open());
            running.then(|| {
                let outcome = outcome.clone();
                let (step, attempt, followed) = (*step, *attempt, Vec::new());
                FulfilmentEvent::StepFinished(StepFinished { step, attempt, outcome, followed })
            })
        }
        Trigger::DeadlineReached { name } => {
            let open = matches!(state.deadlines.get(name), Some(Deadline::Open { due_at }) if *due_at <= now);
            open.then(|| {
                FulfilmentEvent::DeadlineReached(DeadlineReached { name: name.clone(), followed: Vec::new() })
            })
        }
        Trigger::Retry => {
            let steps = operation::to_retry(state);
            (!steps.is_empty()).then_some(FulfilmentEvent::Retried(Retried { steps, followed: Vec::new() }))
        }
        Trigger::Resolve { step, outcome, reason } => {
            let attempt = operation::to_resolve(state, *step)?;
            let (step, outcome, reason) = (*step, *outcome, reason.clone());
            let followed = Vec::new();
            Some(FulfilmentEvent::Resolved(Resolved { step, attempt, outcome, reason, followed }))
        }
    }
}

/// Whether an open deadline is due; also so for one that isn't open, which a repeat finds.
#[must_use]
pub(super) fn is_due(state: &Fulfilment, name: &str, now: Timestamp) -> bool {
    !matches!(state.deadlines.get(name), Some(Deadline::Open { due_at }) if *due_at > now)
}
