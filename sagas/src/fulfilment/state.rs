//! The saga's state: what it knows, folded from its own events.

use std::collections::{BTreeMap, BTreeSet};

use domain::Timestamp;
use domain::shop::order::EndReason;
use serde::{Deserialize, Serialize};

use super::action::{ChargeResult, Outcome};
use super::events::{Ending, FulfilmentEvent, Signal, Started, StepFinished, WaitingFor};
use super::steps::StepName;

/// A step's latest attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which one, from 1.
    pub attempt: u32,
    /// What came of it; `None` while it is on its way.
    pub outcome: Option<Outcome>,
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
    /// The saga's refund was paid back.
    pub refund_settled: bool,
    /// Why the order won't be fulfilled.
    pub compensating: Option<EndReason>,
    /// What the saga waits for, when nothing is to be done.
    pub waiting: Option<WaitingFor>,
    /// How it ended.
    pub ended: Option<Ending>,
}

/// The name of the deadline of unpaid reservations.
pub const RESERVATION: &str = "reservation";

/// The key of a signal in [`Fulfilment::signals`] and in work ids.
#[must_use]
pub fn signal_key(signal: Signal) -> String {
    match signal {
        Signal::CancellationRequested { order_version } => format!("cancellation-{order_version}"),
        Signal::ShipmentDispatched => "dispatched".to_owned(),
        Signal::ShipmentDelivered => "delivered".to_owned(),
        Signal::RefundSettled => "refund-settled".to_owned(),
    }
}

/// What is learnt later replaces only what is less definite: an answer that was overtaken must not blur a fact.
fn definiteness(result: &ChargeResult) -> u8 {
    match result {
        ChargeResult::NotFound | ChargeResult::Unknown => 0,
        ChargeResult::Authorized { .. } => 1,
        ChargeResult::Declined { .. } | ChargeResult::Voided => 2,
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
        self.outcome(step) == Some(&Outcome::Accepted)
    }

    /// Whether an attempt is on its way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.steps.values().any(|attempt| attempt.outcome.is_none())
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
        ) {
            self.waiting = None;
        }
        match event {
            FulfilmentEvent::Started(started) => self.started = Some(started.clone()),
            FulfilmentEvent::StepRequested(requested) => {
                self.steps.insert(requested.step, Attempt { attempt: requested.attempt, outcome: None });
            }
            FulfilmentEvent::StepFinished(finished) => self.finish(finished),
            FulfilmentEvent::SignalReceived(received) => self.receive(received.signal),
            FulfilmentEvent::DeadlineSet(set) => {
                self.deadlines.insert(set.name.clone(), Deadline::Open { due_at: set.due_at });
            }
            FulfilmentEvent::DeadlineCleared(cleared) => {
                self.deadlines.insert(cleared.name.clone(), Deadline::Cleared);
            }
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
        }
    }

    fn finish(&mut self, finished: &StepFinished) {
        if let Outcome::Charge(result) = &finished.outcome
            && self.charge.as_ref().is_none_or(|known| definiteness(result) > definiteness(known))
        {
            self.charge = Some(result.clone());
        }
        if finished.step == StepName::RefuseCancellation && finished.attempt == self.cancellations {
            self.cancellation_open = false;
        }
        let attempt = Attempt { attempt: finished.attempt, outcome: Some(finished.outcome.clone()) };
        self.steps.insert(finished.step, attempt);
    }

    fn receive(&mut self, signal: Signal) {
        self.signals.insert(signal_key(signal));
        match signal {
            Signal::CancellationRequested { .. } => {
                self.cancellations += 1;
                // Who compensates complies already.
                self.cancellation_open = self.compensating.is_none();
            }
            Signal::ShipmentDispatched => self.dispatched = true,
            Signal::ShipmentDelivered => self.delivered = true,
            Signal::RefundSettled => self.refund_settled = true,
        }
    }
}
