//! The catalogue: products and their SKUs.

pub(crate) mod products;
mod skus;

use utoipa_axum::router::OpenApiRouter;

use crate::web::CommandState;

/// Its operations.
pub(crate) fn router() -> OpenApiRouter<CommandState> {
    products::router()
}
