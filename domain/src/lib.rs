#![doc = include_str!("../README.md")]

pub mod aggregate;
pub mod catalogue;
pub mod command;
pub mod event;
pub mod follow_on;
pub mod foreign;
pub mod frame;
pub mod identity;
pub mod inventory;
pub mod merkle;
pub mod money;
pub mod names;
pub mod ordering;
pub mod payments;
pub mod personal;
pub mod ports;
pub mod position;
pub mod refusal;
pub mod shipping;
pub mod stream;
#[cfg(test)]
mod testing;
pub mod text;
pub mod upcast;
pub mod uuids;
pub mod verify;
mod wire;

/// An instant in UTC; the log keeps whole microseconds.
pub type Timestamp = chrono::DateTime<chrono::Utc>;

/// Cuts an instant to the microseconds that the log keeps, so that what is decided equals what is read back.
#[must_use]
pub fn whole_micros(at: Timestamp) -> Timestamp {
    Timestamp::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}
