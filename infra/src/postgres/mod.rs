//! Adapters on PostgreSQL: the read models of many processes. What an analyst finds there is described in `README.md` beside this
//! file.

mod database;
pub mod read_store;
mod url;

pub use self::database::Database;
pub use self::read_store::PostgresReadStore;
pub use self::url::{MalformedPostgresUrl, PostgresUrl};
