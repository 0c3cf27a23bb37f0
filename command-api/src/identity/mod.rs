//! Identity: accounts and sessions.

pub mod accounts;
pub mod email;
pub mod passwords;
mod refresh;
mod sessions;
mod users;

use utoipa_axum::router::OpenApiRouter;

use crate::web::CommandState;

/// Its operations.
pub(crate) fn router() -> OpenApiRouter<CommandState> {
    users::router().merge(sessions::router())
}
