//! Faults over real engines: processes and engines killed at any moment, paused, cut off and slowed down. After each, every
//! acknowledged command counts exactly once, the copies of the events agree, and no saga is stuck.
//!
//! The engines are those in `TILLSTREAM_ENGINES_DIR`, else the set `faults` of `infra/local/engines`; they are killed, so they should
//! be nobody else's. `TILLSTREAM_FAULT_ROUNDS=10` repeats every test with new seeds, `TILLSTREAM_FAULT_SEED=…` plays one again.

mod engines;
mod force;
mod linear;
mod network;
mod processes;
mod rolling;
mod steps;
mod world;
