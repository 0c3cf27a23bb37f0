//! What can happen to a saga. Every event names the piece of work that it opens or settles.

use domain::Timestamp;
use domain::ordering::order::{EndReason, OrderPlaced};
use domain::upcast::unchanged;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::action::{Action, Outcome};
use super::steps::StepName;
use crate::fulfilment::config::Terms;

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
    /// The saga's own refund, its first attempt, was paid back.
    RefundSettled,
    /// A later attempt was.
    LaterRefundSettled {
        /// Which.
        attempt: u32,
    },
    /// The provider will never pay the saga's own refund back.
    RefundFailed {
        /// Which attempt.
        attempt: u32,
    },
    /// Somebody else gave back what was left of the payment.
    FullyRefunded {
        /// The version of the payment's event.
        payment_version: u64,
    },
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

/// What follows from a fact at once: it is decided with it, and stands in its event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Followed {
    /// A step whose stream shares the saga's shard: its command was decided in the same frame.
    Took {
        /// The step.
        step: StepName,
        /// Which attempt, from 1.
        attempt: u32,
        /// What came of it.
        outcome: Outcome,
    },
    /// Something will happen at an instant.
    DeadlineSet(DeadlineSet),
    /// It won't.
    DeadlineCleared(DeadlineCleared),
}

/// `fulfilment.started` 3: version 1 knew no bound for bookings and no patience; nothing followed at once before 3.
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
    /// What followed at once, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followed: Vec<Followed>,
}

/// `fulfilment.step_requested` 2: version 1 knew fewer actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRequested {
    /// The step.
    pub step: StepName,
    /// Which attempt, from 1; part of the command's id.
    pub attempt: u32,
    /// What to do.
    pub action: Action,
}

/// `fulfilment.step_finished` 3: version 1 knew fewer outcomes; nothing followed at once before 3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFinished {
    /// The step.
    pub step: StepName,
    /// Which attempt.
    pub attempt: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// What followed at once, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followed: Vec<Followed>,
}

/// `fulfilment.signal_received` 3: version 1 knew fewer signals; nothing followed at once before 3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalReceived {
    /// What others did.
    pub signal: Signal,
    /// What followed at once, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followed: Vec<Followed>,
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

/// `fulfilment.deadline_reached` 2: nothing followed at once in version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadlineReached {
    /// Its name.
    pub name: String,
    /// What followed at once, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followed: Vec<Followed>,
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

/// Why a step can't go on by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// The provider refuses to call the charge off.
    VoidRefused,
    /// The provider refuses to pay back.
    RefundRefused,
    /// The carrier refuses to call the booking off.
    CarrierRefused,
    /// An aggregate refused what it can't refuse.
    StepRefused,
}

impl Need {
    /// The name in stored events and in lists.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VoidRefused => "void_refused",
            Self::RefundRefused => "refund_refused",
            Self::CarrierRefused => "carrier_refused",
            Self::StepRefused => "step_refused",
        }
    }
}

/// `fulfilment.needs_somebody` 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeedsSomebody {
    /// The step.
    pub step: StepName,
    /// Which attempt of it.
    pub attempt: u32,
    /// Why.
    pub need: Need,
    /// What was said, for people.
    pub detail: String,
}

/// `fulfilment.retried` 2: nothing followed at once in version 1. The event's actor is the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    /// What is tried again.
    pub steps: Vec<StepName>,
    /// What followed at once, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followed: Vec<Followed>,
}

/// What became of a step, as a person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// It was done, in whichever way.
    Done,
    /// It wasn't, and it won't be.
    Refused,
}

/// `fulfilment.resolved` 2: nothing followed at once in version 1. The event's actor is the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The step.
    pub step: StepName,
    /// Which attempt of it.
    pub attempt: u32,
    /// What became of it.
    pub outcome: Resolution,
    /// Why the person says so.
    pub reason: String,
    /// What followed at once, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followed: Vec<Followed>,
}

impl FulfilmentEvent {
    /// What followed at once; `None` for an event that is no fact but follows from one.
    pub(super) fn followed_mut(&mut self) -> Option<&mut Vec<Followed>> {
        match self {
            Self::Started(fact) => Some(&mut fact.followed),
            Self::StepFinished(fact) => Some(&mut fact.followed),
            Self::SignalReceived(fact) => Some(&mut fact.followed),
            Self::DeadlineReached(fact) => Some(&mut fact.followed),
            Self::Retried(fact) => Some(&mut fact.followed),
            Self::Resolved(fact) => Some(&mut fact.followed),
            _ => None,
        }
    }

    /// What followed at once.
    #[must_use]
    pub fn followed(&self) -> &[Followed] {
        match self {
            Self::Started(fact) => &fact.followed,
            Self::StepFinished(fact) => &fact.followed,
            Self::SignalReceived(fact) => &fact.followed,
            Self::DeadlineReached(fact) => &fact.followed,
            Self::Retried(fact) => &fact.followed,
            Self::Resolved(fact) => &fact.followed,
            _ => &[],
        }
    }
}

/// Version 1 had no bounds for bookings and for cancelling; the saga goes on with those that were the first to be set by default.
fn started_1(mut payload: Value) -> Value {
    if let Some(terms) = payload.get_mut("terms").and_then(Value::as_object_mut) {
        terms.entry("booking_ms").or_insert(30_000.into());
        terms.entry("patience_ms").or_insert(5_000.into());
    }
    payload
}

domain::events! {
    /// What can happen to a saga.
    pub enum FulfilmentEvent {
        /// The order was placed.
        "fulfilment.started" 3 upcast(started_1, unchanged) => Started(Started),
        /// A step is to be carried out.
        "fulfilment.step_requested" 2 upcast(unchanged) => StepRequested(StepRequested),
        /// A step's attempt has an outcome.
        "fulfilment.step_finished" 3 upcast(unchanged, unchanged) => StepFinished(StepFinished),
        /// Others did something.
        "fulfilment.signal_received" 3 upcast(unchanged, unchanged) => SignalReceived(SignalReceived),
        /// Something will happen at an instant.
        "fulfilment.deadline_set" 1 => DeadlineSet(DeadlineSet),
        /// It won't.
        "fulfilment.deadline_cleared" 1 => DeadlineCleared(DeadlineCleared),
        /// It did.
        "fulfilment.deadline_reached" 2 upcast(unchanged) => DeadlineReached(DeadlineReached),
        /// The order won't be fulfilled; what was done is undone from now on.
        "fulfilment.compensating" 1 => Compensating(Compensating),
        /// Nothing is to be done until others do something.
        "fulfilment.waiting" 1 => Waiting(Waiting),
        /// Nothing is left to do.
        "fulfilment.ended" 1 => Ended(Ended),
        /// A step can't go on by itself.
        "fulfilment.needs_somebody" 1 => NeedsSomebody(NeedsSomebody),
        /// A person has it tried again.
        "fulfilment.retried" 2 upcast(unchanged) => Retried(Retried),
        /// A person says what became of a step.
        "fulfilment.resolved" 2 upcast(unchanged) => Resolved(Resolved),
    }
}
