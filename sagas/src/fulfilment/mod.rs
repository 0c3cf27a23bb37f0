//! Order fulfilment (SAG-1): reserve stock → pay → book a shipment → dispatch → deliver, with compensation in reverse.
//!
//! The saga is an aggregate of its own, stream type `fulfilment`, id = the order's. Its only command hands it a [`Trigger`];
//! [`react`](crate::engine::react::react) returns events, and those of type `fulfilment.step_requested` hold the commands to send,
//! as data. The work queue ([`changes`]) is read from these events, and [`manager`] carries it out.

pub mod action;
mod cancellation;
pub mod changes;
pub mod config;
mod delivery;
pub mod events;
pub mod ids;
pub mod lanes;
pub mod manager;
mod operation;
mod payment;
mod plan;
pub mod ports;
pub mod process;
mod react;
pub mod refunds;
mod shipment;
pub mod state;
pub mod steps;
mod stock;
#[cfg(test)]
mod tests;
pub mod work;

use domain::aggregate::{Aggregate, DecisionContext};
use domain::follow_on::{Alone, Neighbours};
use domain::ordering::order::OrderPlaced;
use domain::refusal::{DomainError, RefusalKind};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::engine;
use crate::fulfilment::config::Terms;
use action::Outcome;
use events::{FulfilmentEvent, Resolution, Signal};
pub use state::Fulfilment;
use steps::StepName;

/// The stream type, and the name of the process.
pub const KIND: &str = "fulfilment";

/// Who acts in the events of the saga and of its steps, refunds included.
pub const ACTOR: &str = "saga:fulfilment";

/// What a saga reacts to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// The order was placed.
    OrderPlaced {
        /// The order's id.
        order_id: Uuid,
        /// As placed.
        order: Box<OrderPlaced>,
        /// What the configuration says today.
        terms: Terms,
    },
    /// Others did something.
    Signalled(Signal),
    /// A step's attempt has an outcome.
    StepFinished {
        /// The step.
        step: StepName,
        /// Which attempt.
        attempt: u32,
        /// What came of it.
        outcome: Outcome,
    },
    /// A deadline is due.
    DeadlineReached {
        /// Its name.
        name: String,
    },
    /// A person wants tried again what can't go on by itself.
    Retry,
    /// A person says what became of a step that can't go on by itself, or whose provider or carrier is away.
    Resolve {
        /// The step.
        step: StepName,
        /// What became of it.
        outcome: Resolution,
        /// Why they say so.
        reason: String,
    },
}

/// A command for the saga.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FulfilmentCommand {
    /// Reacts to something; a repeat changes nothing.
    Handle(Trigger),
}

/// Why the saga refuses a trigger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FulfilmentError {
    /// Only an order has a fulfilment, and its id is the order's.
    #[error("the fulfilment belongs to another order")]
    OtherOrder,
    /// Whoever says so has a clock that is ahead: repeat later.
    #[error("the deadline {0} is not due yet")]
    NotDue(String),
    /// The order was never placed, or its saga hasn't begun.
    #[error("there is no saga of this order")]
    NotFound,
    /// Everything goes on by itself, or has ended.
    #[error("the saga has nothing to retry: it goes on by itself, or has ended")]
    NothingToRetry,
    /// A refund was tried as often as can be.
    #[error("the refund was tried {max} times; resolve it instead", max = crate::fulfilment::ids::MAX_REFUNDS)]
    TooManyRetries,
    /// The step isn't one that a person can end now.
    #[error("the step {0} neither needs somebody nor waits for a provider or carrier that is away")]
    NotResolvable(StepName),
}

impl DomainError for FulfilmentError {
    fn kind(&self) -> RefusalKind {
        match self {
            Self::OtherOrder => RefusalKind::Invalid,
            Self::NotFound => RefusalKind::NotFound,
            Self::NotDue(_) | Self::NothingToRetry | Self::TooManyRetries | Self::NotResolvable(_) => {
                RefusalKind::Conflict
            }
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::OtherOrder => "other-order",
            Self::NotDue(_) => "deadline-not-due",
            Self::NotFound => "saga-not-found",
            Self::NothingToRetry => "nothing-to-retry",
            Self::TooManyRetries => "too-many-retries",
            Self::NotResolvable(_) => "step-not-resolvable",
        }
    }
}

domain::cqrs_aggregate!(Fulfilment, "fulfilment", FulfilmentCommand, FulfilmentEvent, FulfilmentError);

impl Aggregate for Fulfilment {
    const FOLD: u32 = 2;

    fn decide(
        &self,
        command: &FulfilmentCommand,
        context: &DecisionContext,
    ) -> Result<Vec<FulfilmentEvent>, FulfilmentError> {
        self.decide_beside(command, context, &mut Alone)
    }

    fn decide_beside(
        &self,
        command: &FulfilmentCommand,
        context: &DecisionContext,
        neighbours: &mut dyn Neighbours,
    ) -> Result<Vec<FulfilmentEvent>, FulfilmentError> {
        let FulfilmentCommand::Handle(trigger) = command;
        match trigger {
            Trigger::OrderPlaced { order_id, .. } if context.stream.id() != order_id.to_string() => {
                Err(FulfilmentError::OtherOrder)
            }
            Trigger::DeadlineReached { name } if !react::is_due(self, name, context.now) => {
                Err(FulfilmentError::NotDue(name.clone()))
            }
            Trigger::Retry | Trigger::Resolve { .. } => operation::decide(self, trigger, context, neighbours),
            _ => Ok(engine::react::react(self, trigger, context, neighbours)),
        }
    }

    fn evolve(&mut self, event: &FulfilmentEvent) {
        self.fold(event);
    }
}
