//! Adapters on PostgreSQL: the read models of many processes. What an analyst finds there is described in `README.md` beside this
//! file.

mod catalogue;
pub mod checkpoints;
mod database;
pub mod events_copy;
pub mod keys;
pub mod read_models;
pub mod read_store;
pub mod rebuild;
pub mod saga_work;
pub mod secrets;
mod url;

pub use self::database::Database;
pub use self::read_store::PostgresReadStore;
pub use self::url::PostgresUrl;
