//! Adapters by technology, configuration, and the binary tillstream.

pub mod config;
pub mod data_dir;
mod derived_digest;
pub mod feed;
mod keyset;
pub mod read_side;
pub mod rebuild;
pub mod simulator;
pub mod sqlite;
pub mod tantivy;
#[cfg(test)]
mod testing;
pub mod telemetry;
pub mod verify;
