#![doc = include_str!("../README.md")]

pub mod aggregate;
pub mod command;
#[macro_use]
mod contexts;
pub mod event;
pub mod follow_on;
pub mod foreign;
pub mod frame;
pub mod merkle;
pub mod money;
pub mod names;
pub mod pauses;
pub mod personal;
pub mod ports;
pub mod position;
pub mod refusal;
pub mod stream;
#[cfg(test)]
mod testing;
pub mod text;
pub mod upcast;
pub mod uuids;
pub mod verify;
mod wire;

macro_rules! join {
    ($($context:ident)*) => {
        $(pub mod $context;)*

        /// Adds the aggregates of every context of the shop.
        #[must_use]
        pub fn aggregates(registry: aggregate::Registry) -> aggregate::Registry {
            $(let registry = $context::aggregates(registry);)*
            registry
        }
    };
}
contexts!(join);

/// An instant in UTC; the log keeps whole microseconds.
pub type Timestamp = chrono::DateTime<chrono::Utc>;

/// Cuts an instant to the microseconds that the log keeps, so that what is decided equals what is read back.
#[must_use]
pub fn whole_micros(at: Timestamp) -> Timestamp {
    Timestamp::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}
