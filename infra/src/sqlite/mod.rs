//! Adapters on SQLite: everything that one machine needs, in files of the data directory.

mod connection;
pub mod keys;
pub mod log;
mod thread;
