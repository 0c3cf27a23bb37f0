#![doc = include_str!("../README.md")]
#![expect(clippy::unwrap_used, reason = "this crate is tests: a panic is a failed one")]

pub mod bench;
pub mod cassandra;
pub mod client;
pub mod contract;
pub mod elasticsearch;
pub mod engines;
pub mod faults;
pub mod leases;
pub mod postgres;
pub mod proxy;
pub mod read_side;
pub mod server;
pub mod shop;
