//! Reviews of products, by customers who bought them; support moderates.

mod operations;
pub mod shown;

use crate::web::CommandState;
use crate::web::routes::Routes;

/// Its operations.
#[must_use]
pub fn routes() -> Routes<CommandState> {
    operations::routes()
}
