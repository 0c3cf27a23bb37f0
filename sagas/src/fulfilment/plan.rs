//! What to do next, worked out from the state alone.
//!
//! Each stage walks through its steps until one stops it: because an attempt is on its way, because something new is to be
//! asked for, or because it can't go on. What stops it is an `Err`, so a stage reads like the list of its steps.

use domain::Timestamp;
use domain::shop::order::EndReason;
use uuid::Uuid;

use super::action::{Action, Outcome};
use super::events::{
    Compensating, DeadlineCleared, DeadlineSet, Ended, Ending, FulfilmentEvent, Started, StepRequested,
    Waiting, WaitingFor,
};
use super::state::{Deadline, Fulfilment, RESERVATION};
use super::steps::{STAGES, StepName};
use super::{cancellation, delivery};
use crate::ids;

/// Why a stage doesn't go on for now.
#[derive(Debug)]
pub(super) enum Pause {
    /// An attempt is on its way or a deadline is open; or an aggregate refused what it can't refuse, and somebody has to look.
    Stay,
    /// These events come next.
    Make(Vec<FulfilmentEvent>),
}

/// `Ok` when the stage is done.
pub(super) type Advance = Result<(), Pause>;

/// The state, with what every stage needs of it at hand.
pub(super) struct Plan<'a> {
    pub(super) state: &'a Fulfilment,
    pub(super) started: &'a Started,
    pub(super) now: Timestamp,
    pub(super) payment_id: Uuid,
    pub(super) shipment_id: Uuid,
}

/// The events that come next by themselves; none when the saga waits for something or has ended.
pub(super) fn next(state: &Fulfilment, now: Timestamp) -> Vec<FulfilmentEvent> {
    let Some(started) = &state.started else { return Vec::new() };
    let order_id = started.order_id;
    let plan = Plan {
        state,
        started,
        now,
        payment_id: ids::payment_id(order_id, 1),
        shipment_id: ids::shipment_id(order_id, 1),
    };
    match plan.go_on() {
        Ok(()) | Err(Pause::Stay) => Vec::new(),
        Err(Pause::Make(events)) => events,
    }
}

impl Plan<'_> {
    fn go_on(&self) -> Advance {
        self.clear_deadlines()?;
        match (self.state.ended, self.state.compensating) {
            // A request to cancel that arrives after the end finds the order delivered.
            (Some(Ending::Completed), _) if self.state.cancellation_open => cancellation::refuse(self),
            (Some(_), _) => Ok(()),
            (None, Some(reason)) => self.compensate(reason),
            (None, None) => self.fulfil(),
        }
    }

    fn fulfil(&self) -> Advance {
        if self.state.cancellation_open {
            cancellation::settle(self)?;
        }
        if self.state.expired && !self.state.is_captured() {
            return fail(EndReason::PaymentTimeout);
        }
        if !self.state.deadlines.contains_key(RESERVATION) {
            return self.deadline(RESERVATION.to_owned(), self.started.reserved_until);
        }
        for stage in &STAGES {
            (stage.forward)(self)?;
        }
        delivery::deliver(self)?;
        make(FulfilmentEvent::Ended(Ended { ending: Ending::Completed }))
    }

    fn compensate(&self, reason: EndReason) -> Advance {
        // What is on its way may yet be done, and then has to be undone.
        if self.state.is_busy() {
            return Err(Pause::Stay);
        }
        for stage in STAGES.iter().rev() {
            (stage.undo)(self)?;
        }
        match reason {
            EndReason::OutOfStock => self.once(StepName::Reject, || Action::Reject { reason })?,
            _ => self.once(StepName::Cancel, || Action::Cancel { reason })?,
        }
        make(FulfilmentEvent::Ended(Ended { ending: Ending::Compensated { reason } }))
    }

    /// The reservation's deadline ends with the capture, every deadline with compensation and with the end.
    fn clear_deadlines(&self) -> Advance {
        let over = self.state.compensating.is_some() || self.state.ended.is_some();
        let moot = |name: &str| over || (self.state.is_captured() && name == RESERVATION);
        let clear = |(name, deadline): (&String, &Deadline)| {
            let open = matches!(deadline, Deadline::Open { .. });
            let cleared = DeadlineCleared { name: name.clone() };
            (open && moot(name)).then_some(FulfilmentEvent::DeadlineCleared(cleared))
        };
        let events: Vec<_> = self.state.deadlines.iter().filter_map(clear).collect();
        if events.is_empty() { Ok(()) } else { Err(Pause::Make(events)) }
    }

    /// Asks for a step that was never asked for.
    pub(super) fn request(&self, step: StepName, action: Action) -> Advance {
        self.request_attempt(step, 1, action)
    }

    /// Asks for an attempt of a step, once the one before has an outcome: the state knows of the latest only, so an outcome
    /// of an earlier one would settle nothing.
    pub(super) fn request_attempt(&self, step: StepName, attempt: u32, action: Action) -> Advance {
        if self.state.steps.get(&step).is_some_and(|last| last.outcome.is_none()) {
            return Err(Pause::Stay);
        }
        make(FulfilmentEvent::StepRequested(StepRequested { step, attempt, action }))
    }

    /// Done when the step was accepted. A refusal halts the saga: nobody but the saga could have brought the aggregate there.
    pub(super) fn once(&self, step: StepName, action: impl FnOnce() -> Action) -> Advance {
        match self.state.steps.get(&step) {
            None => self.request(step, action()),
            Some(attempt) => match attempt.outcome {
                None | Some(Outcome::Refused { .. }) => Err(Pause::Stay),
                Some(_) => Ok(()),
            },
        }
    }

    /// Like [`once`](Self::once), but a refusal means that the order can't be fulfilled.
    pub(super) fn once_or_fail(
        &self,
        step: StepName,
        action: impl FnOnce() -> Action,
        reason: EndReason,
    ) -> Advance {
        match self.state.outcome(step) {
            Some(Outcome::Refused { .. }) => fail(reason),
            _ => self.once(step, action),
        }
    }

    /// Asks for all those steps at once that were never asked for; done when all were accepted.
    pub(super) fn all(&self, steps: impl Iterator<Item = (StepName, Action)> + Clone) -> Advance {
        let missing = |(step, _): &(StepName, Action)| !self.state.steps.contains_key(step);
        let request =
            |(step, action)| FulfilmentEvent::StepRequested(StepRequested { step, attempt: 1, action });
        let events: Vec<_> = steps.clone().filter(missing).map(request).collect();
        if !events.is_empty() {
            return Err(Pause::Make(events));
        }
        let mut steps = steps;
        if steps.all(|(step, _)| self.state.accepted(step)) { Ok(()) } else { Err(Pause::Stay) }
    }

    /// Done once the deadline was reached; sets it first.
    pub(super) fn deadline(&self, name: String, due_at: Timestamp) -> Advance {
        match self.state.deadlines.get(&name) {
            None => make(FulfilmentEvent::DeadlineSet(DeadlineSet { name, due_at })),
            Some(Deadline::Open { .. }) => Err(Pause::Stay),
            Some(Deadline::Reached | Deadline::Cleared) => Ok(()),
        }
    }

    /// Done when it happened; else says that the saga waits for it.
    pub(super) fn wait_for(&self, happened: bool, waiting_for: WaitingFor) -> Advance {
        if happened {
            Ok(())
        } else if self.state.waiting == Some(waiting_for) {
            Err(Pause::Stay)
        } else {
            make(FulfilmentEvent::Waiting(Waiting { waiting_for }))
        }
    }
}

/// Stops the stage with an event.
pub(super) fn make(event: FulfilmentEvent) -> Advance {
    Err(Pause::Make(vec![event]))
}

/// Turns to compensation.
pub(super) fn fail(reason: EndReason) -> Advance {
    make(FulfilmentEvent::Compensating(Compensating { reason }))
}
