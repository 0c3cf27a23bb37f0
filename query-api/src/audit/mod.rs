//! The auditors' view: every stream, the whole log, states as of then, and the hash chain.

pub(crate) mod event;
pub(crate) mod events;
pub(crate) mod fold;
pub(crate) mod streams;
pub mod verifier;
pub(crate) mod verify;

use command_api::web::routes::Routes;
use domain::identity::user::Role;
use utoipa_axum::routes;

use crate::web::state::QueryState;

const AUDITORS: &[Role] = &[Role::Auditor];

/// Its operations.
pub(crate) fn routes() -> Routes<QueryState> {
    Routes::default()
        .roles(AUDITORS, routes!(streams::stream_events))
        .roles(AUDITORS, routes!(streams::stream_state))
        .roles(AUDITORS, routes!(events::list_events))
        .roles(AUDITORS, routes!(verify::verify))
        .roles(AUDITORS, routes!(verify::start_verification))
        .roles(AUDITORS, routes!(verify::get_verification))
}
