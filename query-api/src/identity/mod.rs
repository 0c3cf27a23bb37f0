//! Accounts.

pub(crate) mod profile;
