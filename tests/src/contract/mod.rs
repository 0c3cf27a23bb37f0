//! Contract suites: what every backend of a port must pass.

pub mod owners;
