//! Ordering: placing, changing and cancelling orders.

mod order_input;
pub(crate) mod order_parts;
pub mod order_tag;
mod orders;

use crate::web::CommandState;
use crate::web::routes::Routes;

/// Its operations.
#[must_use]
pub fn routes() -> Routes<CommandState> {
    orders::routes()
}
