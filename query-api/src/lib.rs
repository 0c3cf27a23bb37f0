#![doc = include_str!("../README.md")]

pub mod audit;
mod catalogue;
mod identity;
mod inventory;
mod ordering;
mod payments;
mod processes;
mod shipping;
pub mod web;

use command_api::web::routes::Routes;
use domain::identity::user::Role;
use utoipa_axum::routes;

pub use audit::verifier::{ShardReport, Verifier, VerifyError, VerifyReport};
pub use web::cursor::CursorKey;
pub use web::state::{QueryConfig, QueryPorts, QueryState};

/// Who sees where sagas stand.
const SAGA_READERS: &[Role] = &[Role::Operator, Role::Admin, Role::Support];
const AUDITORS: &[Role] = &[Role::Auditor];

/// Every operation of the query side. The caller merges it with the command side's and puts the conventions of `command_api::web`
/// around both; beside the state, the search needs an `Extension` of a
/// [`ProductSearch`](projections::catalogue::documents::ProductSearch).
#[must_use]
pub fn routes() -> Routes<QueryState> {
    Routes::of(command_api::web::openapi::base())
        .authenticated(routes!(identity::profile::get_profile))
        .public(routes!(catalogue::products::list_products))
        .public(routes!(catalogue::products::search_products))
        .public(routes!(catalogue::products::get_product))
        .public(routes!(inventory::availability::availability))
        .authenticated(routes!(ordering::orders::list_orders))
        .authenticated(routes!(ordering::orders::get_order))
        .authenticated(routes!(payments::payment::get_payment))
        .authenticated(routes!(shipping::shipment::get_shipment))
        .roles(SAGA_READERS, routes!(processes::list_sagas))
        .roles(SAGA_READERS, routes!(processes::get_saga))
        .roles(AUDITORS, routes!(audit::streams::stream_events))
        .roles(AUDITORS, routes!(audit::streams::stream_state))
        .roles(AUDITORS, routes!(audit::events::list_events))
        .roles(AUDITORS, routes!(audit::verify::verify))
        .roles(AUDITORS, routes!(audit::verify::start_verification))
        .roles(AUDITORS, routes!(audit::verify::get_verification))
}

#[cfg(test)]
mod tests;
