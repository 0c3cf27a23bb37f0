//! The saga's state: what it knows, folded from its own events.

use std::collections::{BTreeMap, BTreeSet};

use domain::Timestamp;
use domain::ordering::order::EndReason;
use serde::{Deserialize, Serialize};

use super::action::{ChargeResult, Outcome};
use super::events::{
    DeadlineCleared, DeadlineSet, Ending, Followed, FulfilmentEvent, NeedsSomebody, Resolution, Resolved,
    Signal, Started, WaitingFor,
};
use super::steps::StepName;

/// A step's latest attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which one, from 1.
    pub attempt: u32,
    /// What came of it; `None` while it is on its way.
    pub outcome: Option<Outcome>,
    /// What a person says became of it, which counts more.
    pub resolved: Option<Resolution>,
    /// A person wants it tried again.
    pub again: bool,
}

impl Attempt {
    /// Whether it is on its way.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.outcome.is_none() && self.resolved.is_none()
    }
}

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing<'a> {
    /// This attempt is to be asked for.
    Unasked(u32),
    /// On its way.
    Open,
    /// Done, or of an outcome that the stage knows what to do with.
    Done,
    /// Refused by whom it was asked of.
    Refused {
        /// Which attempt.
        attempt: u32,
        /// Their words.
        detail: &'a str,
    },
    /// A person gave it up.
    GivenUp,
}

/// Where a deadline stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deadline {
    /// It will be reached.
    Open {
        /// When.
        due_at: Timestamp,
    },
    /// It was.
    Reached,
    /// It never will be.
    Cleared,
}

/// The state of order fulfilment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fulfilment {
    /// The order and its terms; `None` before it is known.
    pub started: Option<Started>,
    /// Every step's latest attempt.
    pub steps: BTreeMap<StepName, Attempt>,
    /// Every deadline.
    pub deadlines: BTreeMap<String, Deadline>,
    /// The signals received.
    pub signals: BTreeSet<String>,
    /// The provider's most definite word on the charge; `None` while it was never asked to charge.
    pub charge: Option<ChargeResult>,
    /// How often cancellation was asked for; numbers the attempts to comply.
    pub cancellations: u32,
    /// The last request to cancel is not settled.
    pub cancellation_open: bool,
    /// The reservation's deadline was reached.
    pub expired: bool,
    /// The shipment has left.
    pub dispatched: bool,
    /// The customer has it.
    pub delivered: bool,
    /// The attempts of the saga's refund that have ended: whether they were paid back.
    pub refunds: BTreeMap<u32, bool>,
    /// Why the order won't be fulfilled.
    pub compensating: Option<EndReason>,
    /// The steps that can't go on by themselves.
    pub needs: BTreeMap<StepName, NeedsSomebody>,
    /// What the saga waits for, when nothing is to be done.
    pub waiting: Option<WaitingFor>,
    /// How it ended.
    pub ended: Option<Ending>,
}

/// The carrier's reference of a booking that a person made.
const BY_HAND: &str = "by hand";
/// Why a booking failed that a person gave up; their words are in the event.
const GIVEN_UP: &str = "given up by a person";

/// The name of the deadline of unpaid reservations.
pub const RESERVATION: &str = "reservation";
/// The name of the deadline of a booking that doesn't come about.
pub const BOOKING: &str = "booking";
/// The name of the deadline of an order that is being cancelled while a provider or the carrier is away.
pub const PATIENCE: &str = "patience";

/// The key of a signal in [`Fulfilment::signals`] and in work ids.
#[must_use]
pub fn signal_key(signal: Signal) -> String {
    match signal {
        Signal::CancellationRequested { order_version } => format!("cancellation-{order_version}"),
        Signal::ShipmentDispatched => "dispatched".to_owned(),
        Signal::ShipmentDelivered => "delivered".to_owned(),
        Signal::RefundSettled => "refund-settled".to_owned(),
        Signal::LaterRefundSettled { attempt } => format!("refund-settled-{attempt}"),
        Signal::RefundFailed { attempt } => format!("refund-failed-{attempt}"),
        Signal::FullyRefunded { payment_version } => format!("fully-refunded-{payment_version}"),
    }
}

/// What is learnt later replaces only what is less definite: an answer that was overtaken must not blur a fact.
fn definiteness(result: &ChargeResult) -> u8 {
    match result {
        ChargeResult::NotFound | ChargeResult::Unknown => 0,
        ChargeResult::Authorized { .. } => 1,
        ChargeResult::Declined { .. } | ChargeResult::Refused { .. } | ChargeResult::Voided => 2,
        ChargeResult::Captured { .. } => 3,
    }
}

impl Fulfilment {
    /// A step's outcome; `None` while it was never asked for or is on its way.
    #[must_use]
    pub fn outcome(&self, step: StepName) -> Option<&Outcome> {
        self.steps.get(&step).and_then(|attempt| attempt.outcome.as_ref())
    }

    /// Whether a step's latest attempt was accepted.
    #[must_use]
    pub fn accepted(&self, step: StepName) -> bool {
        let accepted = |attempt: &Attempt| match attempt.resolved {
            Some(resolved) => resolved == Resolution::Done,
            None => attempt.outcome == Some(Outcome::Accepted),
        };
        self.steps.get(&step).is_some_and(accepted)
    }

    /// Where a step stands.
    #[must_use]
    pub fn standing(&self, step: StepName) -> Standing<'_> {
        let Some(last) = self.steps.get(&step) else { return Standing::Unasked(1) };
        if last.again {
            return Standing::Unasked(last.attempt.saturating_add(1));
        }
        match (last.resolved, &last.outcome) {
            (Some(Resolution::Done), _) => Standing::Done,
            (Some(Resolution::Refused), _) => Standing::GivenUp,
            (None, None) => Standing::Open,
            (None, Some(Outcome::Refused { code: detail } | Outcome::CallRefused { reason: detail })) => {
                Standing::Refused { attempt: last.attempt, detail }
            }
            (None, Some(_)) => Standing::Done,
        }
    }

    /// Whether a person said what became of a step's latest attempt.
    #[must_use]
    pub fn is_resolved(&self, step: StepName) -> bool {
        self.steps.get(&step).is_some_and(|attempt| attempt.resolved.is_some())
    }

    /// Whether a step's latest attempt is on its way.
    #[must_use]
    pub fn is_open(&self, step: StepName) -> bool {
        self.steps.get(&step).is_some_and(Attempt::is_open)
    }

    /// Whether an attempt is on its way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.steps.values().any(Attempt::is_open)
    }

    /// Whether an aggregate is being asked, which takes as long as its owner takes; not so when it's only up to a provider or
    /// the carrier.
    #[must_use]
    pub fn is_deciding(&self) -> bool {
        self.steps.iter().any(|(step, attempt)| attempt.is_open() && !step.is_outside())
    }

    /// Whether the provider took the money.
    #[must_use]
    pub fn is_captured(&self) -> bool {
        matches!(self.charge, Some(ChargeResult::Captured { .. }))
    }

    /// Whether a deadline is to be reached.
    #[must_use]
    pub fn has_open_deadline(&self) -> bool {
        self.deadlines.values().any(|deadline| matches!(deadline, Deadline::Open { .. }))
    }

    pub(super) fn fold(&mut self, event: &FulfilmentEvent) {
        if !matches!(
            event,
            FulfilmentEvent::Waiting(_)
                | FulfilmentEvent::DeadlineSet(_)
                | FulfilmentEvent::DeadlineCleared(_)
                | FulfilmentEvent::NeedsSomebody(_)
        ) {
            self.waiting = None;
        }
        match event {
            FulfilmentEvent::Started(started) => self.started = Some(started.clone()),
            FulfilmentEvent::StepRequested(requested) => {
                let attempt = requested.attempt;
                let asked = Attempt { attempt, outcome: None, resolved: None, again: false };
                self.steps.insert(requested.step, asked);
            }
            FulfilmentEvent::StepFinished(finished) => {
                self.finish(finished.step, finished.attempt, &finished.outcome);
            }
            FulfilmentEvent::SignalReceived(received) => self.receive(received.signal),
            FulfilmentEvent::DeadlineSet(set) => self.set_deadline(set),
            FulfilmentEvent::DeadlineCleared(cleared) => self.clear_deadline(cleared),
            FulfilmentEvent::DeadlineReached(reached) => {
                self.deadlines.insert(reached.name.clone(), Deadline::Reached);
                self.expired |= reached.name == RESERVATION;
            }
            FulfilmentEvent::Compensating(compensating) => {
                self.compensating = Some(compensating.reason);
                self.cancellation_open = false;
            }
            FulfilmentEvent::Waiting(waiting) => self.waiting = Some(waiting.waiting_for),
            FulfilmentEvent::Ended(ended) => self.ended = Some(ended.ending),
            FulfilmentEvent::NeedsSomebody(needs) => {
                self.needs.insert(needs.step, needs.clone());
            }
            FulfilmentEvent::Retried(retried) => {
                // What goes on being tried by itself needs no further attempt.
                let needs = std::mem::take(&mut self.needs);
                for step in retried.steps.iter().filter(|step| needs.contains_key(*step)) {
                    if let Some(last) = self.steps.get_mut(step) {
                        last.again = true;
                    }
                }
            }
            FulfilmentEvent::Resolved(resolved) => self.resolve(resolved),
        }
        event.followed().iter().for_each(|followed| self.follow(followed));
    }

    /// Takes in what followed from a fact at once.
    pub(super) fn follow(&mut self, followed: &Followed) {
        match followed {
            Followed::Took { step, attempt, outcome } => self.finish(*step, *attempt, outcome),
            Followed::DeadlineSet(set) => self.set_deadline(set),
            Followed::DeadlineCleared(cleared) => self.clear_deadline(cleared),
        }
    }

    fn set_deadline(&mut self, set: &DeadlineSet) {
        self.deadlines.insert(set.name.clone(), Deadline::Open { due_at: set.due_at });
    }

    fn clear_deadline(&mut self, cleared: &DeadlineCleared) {
        self.deadlines.insert(cleared.name.clone(), Deadline::Cleared);
    }

    fn finish(&mut self, step: StepName, attempt: u32, outcome: &Outcome) {
        if let Outcome::Charge(result) = outcome
            && self.charge.as_ref().is_none_or(|known| definiteness(result) > definiteness(known))
        {
            self.charge = Some(result.clone());
        }
        if step == StepName::RefuseCancellation && attempt == self.cancellations {
            self.cancellation_open = false;
        }
        let outcome = Some(outcome.clone());
        self.steps.insert(step, Attempt { attempt, outcome, resolved: None, again: false });
    }

    fn resolve(&mut self, resolved: &Resolved) {
        // What else needs somebody says so again.
        self.needs.clear();
        let Some(last) = self.steps.get_mut(&resolved.step) else { return };
        match (resolved.step, resolved.outcome) {
            // What the stage goes by is what the carrier would have said.
            (StepName::BookCarrier, Resolution::Done) => {
                last.outcome = Some(Outcome::Booked { carrier_reference: BY_HAND.to_owned() });
            }
            (StepName::BookCarrier, Resolution::Refused) => {
                last.outcome = Some(Outcome::BookingRefused { reason: GIVEN_UP.to_owned() });
            }
            (StepName::Void, Resolution::Done) => {
                last.resolved = Some(resolved.outcome);
                self.charge = Some(ChargeResult::Voided);
            }
            _ => last.resolved = Some(resolved.outcome),
        }
    }

    fn receive(&mut self, signal: Signal) {
        self.signals.insert(signal_key(signal));
        match signal {
            Signal::CancellationRequested { .. } => {
                self.cancellations += 1;
                // Who compensates complies already.
                self.cancellation_open = self.compensating.is_none();
            }
            // Whoever gives everything back doesn't want the goods sent. After the dispatch it's a kindness.
            Signal::FullyRefunded { .. } => {
                if self.compensating.is_none() && !self.dispatched && self.ended.is_none() {
                    self.cancellations += 1;
                    self.cancellation_open = true;
                }
            }
            Signal::ShipmentDispatched => self.dispatched = true,
            Signal::ShipmentDelivered => self.delivered = true,
            Signal::RefundSettled => self.end_refund(1, true),
            Signal::LaterRefundSettled { attempt } => self.end_refund(attempt, true),
            Signal::RefundFailed { attempt } => self.end_refund(attempt, false),
        }
    }

    /// What was paid back stays so.
    fn end_refund(&mut self, attempt: u32, paid: bool) {
        *self.refunds.entry(attempt).or_default() |= paid;
    }
}
