//! Where the sagas stand, as the read model shows it.

use async_trait::async_trait;
use domain::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::engine::work::{WorkError, WorkQueue};

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

/// The queries of the projection `sagas`: its work queue, and what is stuck.
#[async_trait]
pub trait SagaWork: WorkQueue {
    /// Sagas that are stuck, longest first, at most `limit` of them. Work that was due before `overdue` is older than its bound.
    ///
    /// # Errors
    /// [`WorkError`].
    async fn stuck(&self, overdue: Timestamp, limit: usize) -> Result<Vec<StuckSaga>, WorkError>;
}
