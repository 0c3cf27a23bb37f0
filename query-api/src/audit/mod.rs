//! The auditors' view: every stream, the whole log, states as of then, and the hash chain.

pub(crate) mod event;
pub(crate) mod events;
pub(crate) mod fold;
pub(crate) mod streams;
pub mod verifier;
pub(crate) mod verify;
