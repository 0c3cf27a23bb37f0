//! The ports: what Tillstream needs from the outside, each with two real implementations and one contract suite.

pub mod clock;
pub mod feed;
pub mod gateway;
pub mod keys;
pub mod leases;
pub mod log;
pub mod walk;
