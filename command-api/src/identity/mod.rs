//! Identity: accounts and sessions.

pub mod accounts;
pub mod email;
pub mod passwords;
mod refresh;
mod sessions;
pub mod shown;
mod users;

use std::sync::Arc;

use passwords::Passwords;

use crate::web::CommandState;
use crate::web::routes::Routes;

/// Its operations.
#[must_use]
pub fn routes() -> Routes<CommandState> {
    let passwords = Arc::new(Passwords::new());
    users::routes(&passwords).merge(sessions::routes(&passwords))
}
