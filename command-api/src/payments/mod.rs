//! Payments: refunds.

pub mod refund_reasons;
mod refunds;

use utoipa_axum::router::OpenApiRouter;

use crate::web::CommandState;

/// Its operations.
pub(crate) fn router() -> OpenApiRouter<CommandState> {
    refunds::router()
}
