#![doc = include_str!("../README.md")]

pub mod application;
pub mod backends;
pub mod cassandra;
pub mod cli;
pub mod config;
pub mod conservation;
pub mod data_dir;
mod derived_digest;
pub mod elasticsearch;
pub mod event_copy;
pub mod event_scan;
pub mod feed;
mod figures;
mod gate;
pub mod http;
pub mod kafka;
pub mod key_files;
mod keyset;
pub mod peers;
pub mod postgres;
mod private;
pub mod progress;
pub mod read_side;
mod read_sql;
pub mod rebuild;
mod saga_standing;
mod search_document;
pub mod serve;
pub mod shop;
pub mod sqlite;
mod subject_keys;
pub mod tantivy;
pub mod telemetry;
#[cfg(test)]
mod testing;
mod text_query;
pub mod verify;
