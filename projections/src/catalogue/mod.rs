//! The catalogue, and what a search finds in it.

pub mod documents;
pub mod products;
