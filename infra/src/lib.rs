//! Adapters by technology, configuration, and the binary tillstream.

pub mod data_dir;
mod derived_digest;
pub mod feed;
pub mod sqlite;
#[cfg(test)]
mod testing;
pub mod verify;
