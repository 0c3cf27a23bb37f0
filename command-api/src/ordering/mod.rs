//! Ordering: placing, changing and cancelling orders.

mod order_input;
pub(crate) mod order_parts;
pub mod order_tag;
mod orders;

use utoipa_axum::router::OpenApiRouter;

use crate::web::CommandState;

/// Its operations.
pub(crate) fn router() -> OpenApiRouter<CommandState> {
    orders::router()
}
