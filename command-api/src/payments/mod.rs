//! Payments: refunds.

pub mod refund_reasons;
mod refunds;

use crate::web::CommandState;
use crate::web::routes::Routes;

/// Its operations.
#[must_use]
pub fn routes() -> Routes<CommandState> {
    refunds::routes()
}
