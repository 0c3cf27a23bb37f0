//! HTTP: the conventions that every operation follows, and the operations that issue commands.

pub mod access;
pub mod context;
pub mod conventions;
pub mod headers;
mod leftover;
pub mod negotiation;
pub mod problem;
pub mod schema;
pub mod tokens;
