#![doc = include_str!("README.md")]

mod connect;
mod leases;
pub mod log;
mod migrate;
mod promises;
pub mod url;

pub use self::log::CassandraLog;
pub use self::migrate::OpenError;
pub use self::promises::Promises;
pub use self::url::CassandraUrl;
