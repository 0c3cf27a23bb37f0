//! The catalogue: products and their SKUs.

pub(crate) mod products;
mod skus;

use crate::web::CommandState;
use crate::web::routes::Routes;

/// Its operations.
#[must_use]
pub fn routes() -> Routes<CommandState> {
    products::routes()
}
