//! Stock.

pub(crate) mod availability;
