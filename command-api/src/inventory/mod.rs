//! Inventory: the stock of products.

mod stock;

use utoipa_axum::router::OpenApiRouter;

use crate::web::CommandState;

/// Its operations.
pub(crate) fn router() -> OpenApiRouter<CommandState> {
    stock::router()
}
