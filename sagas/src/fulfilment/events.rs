//! What can happen to a saga. Every event names the piece of work that it opens or settles.

use domain::Timestamp;
use domain::shop::order::{EndReason, OrderPlaced};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::action::{Action, Outcome};
use super::steps::StepName;
use crate::config::Terms;

/// Something that others did and the saga has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Somebody wants the order cancelled.
    CancellationRequested {
        /// The version of the order's event: an order may be asked to be cancelled again after a refusal.
        order_version: u64,
    },
    /// The shipment has left.
    ShipmentDispatched,
    /// The customer has it.
    ShipmentDelivered,
    /// The saga's own refund was paid back.
    RefundSettled,
}

/// What a saga waits for that may take as long as it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitingFor {
    /// The warehouse hands the shipment over.
    Dispatch,
    /// The customer gets it.
    Delivery,
    /// The provider pays the refund back.
    RefundSettlement,
}

impl WaitingFor {
    /// The name in stored events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dispatch => "dispatch",
            Self::Delivery => "delivery",
            Self::RefundSettlement => "refund_settlement",
        }
    }
}

/// How a saga ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The order was fulfilled.
    Completed,
    /// Everything that was done was undone.
    Compensated {
        /// Why.
        reason: EndReason,
    },
}

/// `fulfilment.started` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The order; also the saga's own id.
    pub order_id: Uuid,
    /// The order as placed.
    pub order: OrderPlaced,
    /// What the configuration said then.
    pub terms: Terms,
    /// Until when stock stays set aside while the order isn't paid.
    pub reserved_until: Timestamp,
}

/// `fulfilment.step_requested` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRequested {
    /// The step.
    pub step: StepName,
    /// Which attempt, from 1; part of the command's id.
    pub attempt: u32,
    /// What to do.
    pub action: Action,
}

/// `fulfilment.step_finished` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFinished {
    /// The step.
    pub step: StepName,
    /// Which attempt.
    pub attempt: u32,
    /// What came of it.
    pub outcome: Outcome,
}

/// `fulfilment.signal_received` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalReceived {
    /// What others did.
    pub signal: Signal,
}

/// `fulfilment.deadline_set` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadlineSet {
    /// Its name, unique in the saga.
    pub name: String,
    /// When it is reached.
    pub due_at: Timestamp,
}

/// `fulfilment.deadline_cleared` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadlineCleared {
    /// Its name.
    pub name: String,
}

/// `fulfilment.deadline_reached` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadlineReached {
    /// Its name.
    pub name: String,
}

/// `fulfilment.compensating` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compensating {
    /// Why the order won't be fulfilled.
    pub reason: EndReason,
}

/// `fulfilment.waiting` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What for.
    pub waiting_for: WaitingFor,
}

/// `fulfilment.ended` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How.
    pub ending: Ending,
}

domain::events! {
    /// What can happen to a saga.
    pub enum FulfilmentEvent {
        /// The order was placed.
        "fulfilment.started" 1 => Started(Started),
        /// A step is to be carried out.
        "fulfilment.step_requested" 1 => StepRequested(StepRequested),
        /// A step's attempt has an outcome.
        "fulfilment.step_finished" 1 => StepFinished(StepFinished),
        /// Others did something.
        "fulfilment.signal_received" 1 => SignalReceived(SignalReceived),
        /// Something will happen at an instant.
        "fulfilment.deadline_set" 1 => DeadlineSet(DeadlineSet),
        /// It won't.
        "fulfilment.deadline_cleared" 1 => DeadlineCleared(DeadlineCleared),
        /// It did.
        "fulfilment.deadline_reached" 1 => DeadlineReached(DeadlineReached),
        /// The order won't be fulfilled; what was done is undone from now on.
        "fulfilment.compensating" 1 => Compensating(Compensating),
        /// Nothing is to be done until others do something.
        "fulfilment.waiting" 1 => Waiting(Waiting),
        /// Nothing is left to do.
        "fulfilment.ended" 1 => Ended(Ended),
    }
}
