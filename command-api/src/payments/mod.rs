//! Payments: refunds.

pub mod refund_reasons;
mod refunds;

use crate::web::CommandState;
use crate::web::routes::Routes;

/// Its operations.
pub(crate) fn routes() -> Routes<CommandState> {
    refunds::routes()
}
