//! Contract suites: what every backend of a port must pass.

pub mod application;
pub mod chain;
pub mod feed;
pub mod history;
pub mod keys;
pub mod leases;
pub mod log_port;
pub mod owners;
pub mod read_models;
pub mod read_store;
pub mod repository;
pub mod saga_standing;
pub mod saga_work;
pub mod search;
