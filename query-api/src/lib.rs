#![doc = include_str!("../README.md")]

pub mod audit;
mod processes;
pub mod verifier;
pub mod web;

use command_api::web::routes::Routes;
use domain::identity::user::Role;

pub use verifier::{ShardReport, Verifier, VerifyError, VerifyReport};
pub use web::cursor::CursorKey;
pub use web::state::{QueryConfig, QueryPorts, QueryState};

/// The operations that every application has: what auditors see, and, for `saga_readers`, where process managers stand.
#[must_use]
pub fn audit_routes(saga_readers: &[impl Copy + Into<&'static str>]) -> Routes<QueryState> {
    Routes::of(command_api::web::openapi::base())
        .merge(processes::routes(saga_readers))
        .merge(audit::routes())
}

macro_rules! join {
    ($($context:ident)*) => {
        $(pub mod $context;)*

        /// Every operation of the query side. The caller merges it with the command side's and puts the conventions of
        /// `command_api::web` around both; beside the state, searches need an `Extension` of a
        /// [`TextSearch`](projections::engine::search::TextSearch).
        #[must_use]
        pub fn routes() -> Routes<QueryState> {
            audit_routes(&[Role::Operator, Role::Admin, Role::Support])$(.merge($context::routes()))*
        }
    };
}
domain::contexts!(join);
