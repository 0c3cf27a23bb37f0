//! Shipping: what carriers tell of parcels.

mod shipments;

use crate::web::CommandState;
use crate::web::routes::Routes;

/// Its operations.
#[must_use]
pub fn routes() -> Routes<CommandState> {
    shipments::routes()
}
