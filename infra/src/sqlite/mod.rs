//! Adapters on SQLite: everything that one machine needs, in files of the data directory.

mod checkpointer;
mod connection;
pub mod events_copy;
pub mod keys;
pub mod log;
pub mod read_models;
pub mod read_store;
pub mod saga_work;
pub(crate) mod thread;

pub(crate) use connection::{as_path, names_are_names};
