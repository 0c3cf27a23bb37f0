//! Inventory: the stock of products.

mod stock;

use crate::web::CommandState;
use crate::web::routes::Routes;

/// Its operations.
#[must_use]
pub fn routes() -> Routes<CommandState> {
    stock::routes()
}
