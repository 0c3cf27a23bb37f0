//! The auditors' view: every stream, the whole log, states as of then, and the hash chain.

pub(crate) mod event;
pub(crate) mod events;
pub(crate) mod fold;
pub(crate) mod streams;
pub(crate) mod verify;

use command_api::web::access::AUDITOR;
use command_api::web::routes::Routes;
use utoipa_axum::routes;

use crate::web::state::QueryState;

/// Its operations.
pub(crate) fn routes() -> Routes<QueryState> {
    Routes::default()
        .roles(&[AUDITOR], routes!(streams::stream_events))
        .roles(&[AUDITOR], routes!(streams::stream_state))
        .roles(&[AUDITOR], routes!(events::list_events))
        .roles(&[AUDITOR], routes!(verify::verify))
        .roles(&[AUDITOR], routes!(verify::start_verification))
        .roles(&[AUDITOR], routes!(verify::get_verification))
}
