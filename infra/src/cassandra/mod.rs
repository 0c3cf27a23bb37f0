#![doc = include_str!("README.md")]

mod connect;
mod leases;
pub mod log;
mod migrate;
mod open_error;
mod promises;
pub mod url;

pub use self::log::CassandraLog;
pub use self::open_error::OpenError;
pub use self::promises::Promises;
pub use self::url::CassandraUrl;
