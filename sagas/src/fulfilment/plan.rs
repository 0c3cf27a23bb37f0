//! What to do next, worked out from the state alone.
//!
//! Each stage walks through its steps until one stops it: because an attempt is on its way, because something new is to be
//! asked for, or because it can't go on. What stops it is an `Err`, so a stage reads like the list of its steps.

use chrono::Duration;
use domain::Timestamp;
use domain::ordering::order::EndReason;
use uuid::Uuid;

use super::action::Action;
use super::events::{
    Compensating, DeadlineCleared, DeadlineSet, Ended, Ending, FulfilmentEvent, Need, NeedsSomebody, Started,
    StepRequested, Waiting, WaitingFor,
};
use super::state::{BOOKING, Deadline, Fulfilment, PATIENCE, RESERVATION, Standing};
use super::steps::{STAGES, StepName};
use super::{cancellation, delivery, payment, stock};

/// Why a stage doesn't go on for now.
#[derive(Debug)]
pub(super) enum Pause {
    /// An attempt is on its way or a deadline is open; or somebody has to look, which was said.
    Stay,
    /// These events come next.
    Make(Vec<FulfilmentEvent>),
}

/// `Ok` when the stage is done.
pub(super) type Advance = Result<(), Pause>;

/// The state, with what every stage needs of it at hand.
pub(super) struct FulfilmentPlan<'a> {
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
    let plan = FulfilmentPlan {
        state,
        started,
        now,
        payment_id: started.order.payment_id(order_id),
        shipment_id: started.order.shipment_id(order_id),
    };
    match plan.go_on() {
        Ok(()) | Err(Pause::Stay) => Vec::new(),
        Err(Pause::Make(events)) => events,
    }
}

impl FulfilmentPlan<'_> {
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
        if self.state.is_deciding() {
            return Err(Pause::Stay);
        }
        // Those who can be away, side by side: neither waits for the other.
        let mut open = false;
        for stage in STAGES.iter().rev().filter(|stage| stage.is_outside) {
            match (stage.undo)(self) {
                Ok(()) => {}
                Err(Pause::Stay) => open = true,
                made => return made,
            }
        }
        match self.state.deadlines.get(PATIENCE) {
            _ if open => {
                let due_at = self.after(self.started.terms.patience_ms);
                match self.deadline(PATIENCE.to_owned(), due_at) {
                    Err(Pause::Stay) => return self.rest(),
                    done => done?,
                }
            }
            Some(Deadline::Open { .. }) => {
                let cleared = DeadlineCleared { name: PATIENCE.to_owned() };
                return make(FulfilmentEvent::DeadlineCleared(cleared));
            }
            _ => {}
        }
        stock::release(self)?;
        match reason {
            EndReason::OutOfStock => self.once(StepName::Reject, || Action::Reject { reason })?,
            _ => self.once(StepName::Cancel, || Action::Cancel { reason })?,
        }
        if open {
            return self.rest();
        }
        make(FulfilmentEvent::Ended(Ended { ending: Ending::Compensated { reason } }))
    }

    /// Stays, and says so when it is the provider's turn to pay back.
    fn rest(&self) -> Advance {
        let waits = payment::awaits_settlement(self.state);
        if waits { self.wait_for(false, WaitingFor::RefundSettlement) } else { Err(Pause::Stay) }
    }

    /// The reservation's deadline ends with the capture, that of a booking with the carrier's answer, each with compensation and
    /// with the end.
    fn clear_deadlines(&self) -> Advance {
        let (compensating, ended) = (self.state.compensating.is_some(), self.state.ended.is_some());
        let moot = |name: &str| match name {
            PATIENCE => ended,
            _ if compensating || ended => true,
            RESERVATION => self.state.is_captured(),
            BOOKING => !self.state.is_open(StepName::BookCarrier),
            _ => false,
        };
        let clear = |(name, deadline): (&String, &Deadline)| {
            let open = matches!(deadline, Deadline::Open { .. });
            let cleared = DeadlineCleared { name: name.clone() };
            (open && moot(name)).then_some(FulfilmentEvent::DeadlineCleared(cleared))
        };
        let events: Vec<_> = self.state.deadlines.iter().filter_map(clear).collect();
        if events.is_empty() { Ok(()) } else { Err(Pause::Make(events)) }
    }

    /// Asks for an attempt of a step, once the one before has an outcome: the state knows of the latest only, so an outcome
    /// of an earlier one would settle nothing.
    pub(super) fn request_attempt(&self, step: StepName, attempt: u32, action: Action) -> Advance {
        if self.state.is_open(step) {
            return Err(Pause::Stay);
        }
        make(FulfilmentEvent::StepRequested(StepRequested { step, attempt, action }))
    }

    /// Done when the step was accepted. A refusal needs somebody: nobody but the saga could have brought the aggregate there.
    pub(super) fn once(&self, step: StepName, action: impl FnOnce() -> Action) -> Advance {
        self.once_or_need(step, |_| action(), Need::StepRefused)
    }

    /// Done when the attempt was, or a person gave it up where the saga can go on without. A refusal needs somebody.
    pub(super) fn once_or_need(
        &self,
        step: StepName,
        action: impl FnOnce(u32) -> Action,
        need: Need,
    ) -> Advance {
        match self.state.standing(step) {
            Standing::Unasked(attempt) => self.request_attempt(step, attempt, action(attempt)),
            Standing::Open => Err(Pause::Stay),
            Standing::Done => Ok(()),
            Standing::Refused { attempt, detail } => self.need(step, attempt, need, detail),
            Standing::GivenUp => self.without(step),
        }
    }

    /// Goes on without a step that was given up.
    fn without(&self, step: StepName) -> Advance {
        match step.given_up() {
            Some(reason) if self.state.compensating.is_none() => fail(reason),
            _ => Ok(()),
        }
    }

    /// Says once that the attempt needs somebody, and stays.
    pub(super) fn need(&self, step: StepName, attempt: u32, need: Need, detail: &str) -> Advance {
        if self.state.needs.contains_key(&step) {
            return Err(Pause::Stay);
        }
        let detail = detail.to_owned();
        make(FulfilmentEvent::NeedsSomebody(NeedsSomebody { step, attempt, need, detail }))
    }

    /// Asks for a step, and goes on whatever comes of it.
    pub(super) fn whatever(&self, step: StepName, action: impl FnOnce() -> Action) -> Advance {
        match self.state.standing(step) {
            Standing::Unasked(attempt) => self.request_attempt(step, attempt, action()),
            Standing::Open => Err(Pause::Stay),
            Standing::Done | Standing::Refused { .. } | Standing::GivenUp => Ok(()),
        }
    }

    /// Like [`once`](Self::once), but a refusal means that the order can't be fulfilled.
    pub(super) fn once_or_fail(
        &self,
        step: StepName,
        action: impl FnOnce() -> Action,
        reason: EndReason,
    ) -> Advance {
        match self.state.standing(step) {
            Standing::Refused { .. } => fail(reason),
            _ => self.once(step, action),
        }
    }

    /// Asks for all those steps at once that were never asked for; done when all were accepted.
    pub(super) fn all(&self, steps: impl Iterator<Item = (StepName, Action)> + Clone) -> Advance {
        let request = |(step, action)| match self.state.standing(step) {
            Standing::Unasked(attempt) => {
                Some(FulfilmentEvent::StepRequested(StepRequested { step, attempt, action }))
            }
            _ => None,
        };
        let events: Vec<_> = steps.clone().filter_map(request).collect();
        if !events.is_empty() {
            return Err(Pause::Make(events));
        }
        let mut open = false;
        for (step, action) in steps {
            match self.once(step, || action) {
                Ok(()) => {}
                Err(Pause::Stay) => open = true,
                made => return made,
            }
        }
        if open { Err(Pause::Stay) } else { Ok(()) }
    }

    /// So many milliseconds from now.
    pub(super) fn after(&self, millis: u64) -> Timestamp {
        let pause = i64::try_from(millis).map_or(Duration::MAX, Duration::milliseconds);
        self.now.checked_add_signed(pause).unwrap_or(Timestamp::MAX_UTC)
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
