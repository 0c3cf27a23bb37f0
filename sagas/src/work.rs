//! The work queue as the worker sees it: the open rows of the saga read model.

use async_trait::async_trait;
use domain::Timestamp;
use domain::money::Money;
use domain::shop::order::OrderPlaced;
use domain::stream::StreamId;
use projections::mark::Mark;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::fulfilment::KIND;
use crate::fulfilment::action::{Action, Lane};
use crate::fulfilment::events::Signal;
use crate::fulfilment::state::signal_key;
use crate::fulfilment::steps::StepName;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
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
    /// Have the provider pay an accepted refund back, whoever asked for it.
    Refund {
        /// The payment.
        payment_id: Uuid,
        /// The refund; also its key at the provider.
        refund_id: Uuid,
        /// How much.
        amount: Money,
    },
}

impl Work {
    /// Whose capacity it takes.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self {
            Self::Step { action, .. } => action.lane(),
            Self::Refund { .. } => Lane::Payments,
            Self::Start(_) | Self::Signal(_) | Self::Deadline { .. } => Lane::Commands,
        }
    }
}

/// The ids of work, unique within a tenant: the same for whoever opens it and whoever closes it.
pub mod id {
    use super::{Signal, StepName, Uuid, signal_key};

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

    /// A refund.
    #[must_use]
    pub fn refund(payment_id: Uuid, refund_id: Uuid) -> String {
        format!("{payment_id}/refund/{refund_id}")
    }
}

/// An open piece of work; also the shape of the row's `item` column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkItem {
    /// The tenant.
    pub tenant: String,
    /// See [`id`].
    pub id: String,
    /// The order, and so the saga.
    pub order_id: Uuid,
    /// The order's correlation id.
    pub correlation_id: Uuid,
    /// The event that opened it.
    pub cause_id: Uuid,
    /// What is to be done.
    pub work: Work,
}

impl WorkItem {
    /// The stream whose event closes it.
    #[must_use]
    pub fn closed_by(&self) -> StreamId {
        match &self.work {
            Work::Refund { payment_id, .. } => StreamId::new(&self.tenant, "payment", payment_id),
            Work::Start(_) | Work::Signal(_) | Work::Step { .. } | Work::Deadline { .. } => {
                StreamId::new(&self.tenant, KIND, self.order_id)
            }
        }
    }
}

/// A saga that doesn't go on (SAG-4): a step needs somebody, work is older than its bound, or it has neither ended nor anything
/// to do or to wait for. Somebody has to look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StuckSaga {
    /// The tenant.
    pub tenant: String,
    /// The order.
    pub order_id: Uuid,
    /// Why: a [`Need`](crate::fulfilment::events::Need); `payments_overdue`, `carrier_overdue` or `commands_overdue` for work that
    /// is older than its bound, by who has to do it; or `halted`.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// Why the work queue can't be read: repeat later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the work of the sagas is unavailable: {0}")]
pub struct WorkError(pub String);

/// A place in the open work of a lane, which is read oldest first; by default before all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// When the last piece that was read was opened.
    pub opened_at: Timestamp,
    /// Its tenant.
    pub tenant: String,
    /// Its id.
    pub id: String,
}

/// A piece of open work, as the rows show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWork {
    /// Since when it is open.
    pub opened_at: Timestamp,
    /// When it is due; `None`: at once.
    pub due_at: Option<Timestamp>,
    /// What is to be done.
    pub item: WorkItem,
}

impl OpenWork {
    /// The place after it.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        let (tenant, id) = (self.item.tenant.clone(), self.item.id.clone());
        Cursor { opened_at: self.opened_at, tenant, id }
    }
}

/// A page of open work, and which state of the read model shows it: both are read in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// What the rows hold.
    pub mark: Mark,
    /// The work.
    pub work: Vec<OpenWork>,
}

/// The saga read model's queries.
#[async_trait]
pub trait SagaWork: Send + Sync + 'static {
    /// Open work of a lane that is due by `by`, oldest first, after `after`, at most `limit` pieces; fewer are the last ones. By lane,
    /// so that work that waits for one provider doesn't hide the others'.
    ///
    /// # Errors
    /// [`WorkError`], here and below.
    async fn due(&self, lane: Lane, by: Timestamp, after: &Cursor, limit: usize) -> Result<Due, WorkError>;

    /// Sagas that are stuck, longest first, at most `limit` of them. Work that was due before `overdue` is older than its bound.
    async fn stuck(&self, overdue: Timestamp, limit: usize) -> Result<Vec<StuckSaga>, WorkError>;
}
