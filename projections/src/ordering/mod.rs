//! Orders.

pub mod documents;
pub mod orders;
