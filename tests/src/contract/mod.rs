//! Contract suites: what every backend of a port must pass.

pub mod chain;
pub mod log_port;
pub mod owners;
