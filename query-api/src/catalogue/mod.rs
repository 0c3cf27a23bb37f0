//! The catalogue.

pub(crate) mod products;
