#![doc = include_str!("../README.md")]
#![expect(clippy::unwrap_used, reason = "this crate is tests: a panic is a failed one")]

pub mod bench;
pub mod board;
pub mod cassandra;
pub mod client;
pub mod cluster;
pub mod contract;
pub mod elasticsearch;
pub mod engine_set;
pub mod engines;
pub mod faults;
pub mod history;
pub mod leases;
pub mod metrics;
pub mod postgres;
pub mod proxy;
pub mod read_side;
pub mod server;
pub mod shop;
pub mod workload;
