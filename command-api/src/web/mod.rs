//! HTTP: the conventions that every operation follows.
//!
//! [`conventions::apply`] goes around the routers of the command side and of the query side, with the table of [`access`]. Every error is a
//! [`problem::Problem`].

pub mod access;
pub mod body;
pub mod caller;
pub mod context;
pub mod conventions;
pub mod door;
pub mod headers;
pub mod issue;
mod leftover;
pub mod negotiation;
pub mod openapi;
pub mod peers;
pub mod preconditions;
pub mod problem;
pub mod requests;
pub mod routes;
pub mod state;
pub mod tokens;
pub mod unserved;
mod uri;

pub use state::CommandState;
