//! Accounts.

pub mod users;
