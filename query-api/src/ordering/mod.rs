//! Orders.

pub(crate) mod orders;
