//! What fulfilment has to do outside of its frames.

use domain::ordering::order::OrderPlaced;
use serde::{Deserialize, Serialize};

use super::action::Action;
use super::events::Signal;
use super::steps::StepName;
use crate::engine::work::Lane;
use crate::fulfilment::lanes;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FulfilmentWork {
    /// Start the saga of an order.
    Start(Box<OrderPlaced>),
    /// Tell the saga what others did.
    Signal(Signal),
    /// Carry out a step's attempt and tell the saga what came of it.
    Step {
        /// The step.
        step: StepName,
        /// Which attempt.
        attempt: u32,
        /// What to do.
        action: Action,
    },
    /// Tell the saga that a deadline is due.
    Deadline {
        /// Its name.
        name: String,
    },
}

impl FulfilmentWork {
    /// Whose capacity it takes.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self {
            Self::Step { action, .. } => action.lane(),
            Self::Start(_) | Self::Signal(_) | Self::Deadline { .. } => lanes::COMMANDS,
        }
    }
}

/// The ids of work: the same for whoever opens it and whoever closes it.
pub mod id {
    use uuid::Uuid;

    use super::{Signal, StepName};
    use crate::fulfilment::state::signal_key;

    /// Starting an order's saga.
    #[must_use]
    pub fn start(order_id: Uuid) -> String {
        format!("{order_id}/start")
    }

    /// A signal to an order's saga.
    #[must_use]
    pub fn signal(order_id: Uuid, signal: Signal) -> String {
        format!("{order_id}/signal/{}", signal_key(signal))
    }

    /// A step's attempt.
    #[must_use]
    pub fn step(order_id: Uuid, step: StepName, attempt: u32) -> String {
        format!("{order_id}/step/{step}/{attempt}")
    }

    /// A deadline.
    #[must_use]
    pub fn deadline(order_id: Uuid, name: &str) -> String {
        format!("{order_id}/deadline/{name}")
    }
}
