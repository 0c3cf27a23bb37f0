//! How fulfilment reacts; see [`crate::engine::react`].

use chrono::Duration;
use domain::Timestamp;

use super::action::Outcome;
use super::events::{
    DeadlineReached, Followed, FulfilmentEvent, Resolved, Retried, SignalReceived, Started, StepFinished,
    StepRequested,
};
use super::state::{Deadline, Fulfilment, signal_key};
use super::{Trigger, operation, plan};
use crate::engine::react::{Beside, Saga};

impl Saga for Fulfilment {
    type Trigger = Trigger;
    type Event = FulfilmentEvent;
    type Followed = Followed;

    fn fact(&self, trigger: &Trigger, now: Timestamp) -> Option<FulfilmentEvent> {
        match trigger {
            Trigger::OrderPlaced { order_id, order, terms } => self.started.is_none().then(|| {
                let ttl =
                    i64::try_from(terms.reservation_ttl_ms).map_or(Duration::MAX, Duration::milliseconds);
                FulfilmentEvent::Started(Started {
                    order_id: *order_id,
                    order: (**order).clone(),
                    terms: terms.clone(),
                    reserved_until: now.checked_add_signed(ttl).unwrap_or(Timestamp::MAX_UTC),
                    followed: Vec::new(),
                })
            }),
            Trigger::Signalled(signal) => (!self.signals.contains(&signal_key(*signal))).then_some(
                FulfilmentEvent::SignalReceived(SignalReceived { signal: *signal, followed: Vec::new() }),
            ),
            Trigger::StepFinished { step, attempt, outcome } => {
                let running = self.steps.get(step).is_some_and(|s| s.attempt == *attempt && s.is_open());
                running.then(|| {
                    let outcome = outcome.clone();
                    let (step, attempt, followed) = (*step, *attempt, Vec::new());
                    FulfilmentEvent::StepFinished(StepFinished { step, attempt, outcome, followed })
                })
            }
            Trigger::DeadlineReached { name } => {
                let open =
                    matches!(self.deadlines.get(name), Some(Deadline::Open { due_at }) if *due_at <= now);
                open.then(|| {
                    FulfilmentEvent::DeadlineReached(DeadlineReached {
                        name: name.clone(),
                        followed: Vec::new(),
                    })
                })
            }
            Trigger::Retry => {
                let steps = operation::to_retry(self);
                (!steps.is_empty())
                    .then_some(FulfilmentEvent::Retried(Retried { steps, followed: Vec::new() }))
            }
            Trigger::Resolve { step, outcome, reason } => {
                let attempt = operation::to_resolve(self, *step)?;
                let (step, outcome, reason) = (*step, *outcome, reason.clone());
                let followed = Vec::new();
                Some(FulfilmentEvent::Resolved(Resolved { step, attempt, outcome, reason, followed }))
            }
        }
    }

    fn next(&self, now: Timestamp) -> Vec<FulfilmentEvent> {
        plan::next(self, now)
    }

    fn apply(&mut self, event: &FulfilmentEvent) {
        self.fold(event);
    }

    fn is_together(&self) -> bool {
        self.started.as_ref().is_some_and(|started| started.order.parts.is_some())
    }

    fn at_once(&self, event: &FulfilmentEvent, beside: &mut Beside<'_>) -> Option<Followed> {
        match event {
            FulfilmentEvent::DeadlineSet(set) => Some(Followed::DeadlineSet(set.clone())),
            FulfilmentEvent::DeadlineCleared(cleared) => Some(Followed::DeadlineCleared(cleared.clone())),
            FulfilmentEvent::StepRequested(StepRequested { step, attempt, action }) => {
                let command = action.command(beside.tenant, self.started.as_ref()?.order_id)?;
                // Stock is everybody's, and in its own shard.
                if command.stream.kind() == "inventory" {
                    return None;
                }
                let outcome = match beside.take(&command)? {
                    Ok(()) => Outcome::Accepted,
                    Err(refusal) => Outcome::Refused { code: refusal.code },
                };
                Some(Followed::Took { step: *step, attempt: *attempt, outcome })
            }
            _ => None,
        }
    }

    fn apply_followed(&mut self, followed: &Followed) {
        self.follow(followed);
    }

    fn keep(event: &mut FulfilmentEvent, followed: Vec<Followed>) {
        if let Some(kept) = event.followed_mut() {
            *kept = followed;
        }
    }
}

/// Whether an open deadline is due; also so for one that isn't open, which a repeat finds.
#[must_use]
pub(super) fn is_due(state: &Fulfilment, name: &str, now: Timestamp) -> bool {
    !matches!(state.deadlines.get(name), Some(Deadline::Open { due_at }) if *due_at > now)
}
