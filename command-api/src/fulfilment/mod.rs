//! What the handlers ask of order fulfilment: the commands by which a person ends what is stuck. The sagas'
//! crate says them; here they are a port, since contexts meet through events and the gateway only.

mod operations;

use std::sync::Arc;

use domain::command::Step;
use domain::stream::StreamId;
use uuid::Uuid;

use crate::web::CommandState;
use crate::web::routes::Routes;

/// Its operations.
pub(crate) fn routes(fulfilments: Arc<dyn Fulfilments>) -> Routes<CommandState> {
    operations::routes(fulfilments)
}

/// What became of a step, as a person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// It was done, in whichever way.
    Done,
    /// It wasn't, and it won't be.
    Refused,
}

/// Order fulfilment as the handlers see it.
pub trait Fulfilments: Send + Sync + 'static {
    /// The stream of an order's saga.
    fn stream(&self, tenant: &str, order_id: Uuid) -> StreamId;

    /// Has tried again what can't go on by itself.
    fn retry(&self, tenant: &str, order_id: Uuid) -> Step;

    /// Says what became of a step; `None` when no step has this name.
    fn resolve(
        &self,
        tenant: &str,
        order_id: Uuid,
        step: &str,
        outcome: Resolution,
        reason: String,
    ) -> Option<Step>;
}
