//! Shipping: what carriers tell of parcels.

mod shipments;

use utoipa_axum::router::OpenApiRouter;

use crate::web::CommandState;

/// Its operations.
pub(crate) fn router() -> OpenApiRouter<CommandState> {
    shipments::router()
}
