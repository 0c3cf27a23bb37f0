//! The lanes of the shop's work: who has to do it, and so who can hold it up.

use crate::engine::work::Lane;

/// The owners of the shards.
pub const COMMANDS: Lane = Lane::named("commands");
/// The payment provider.
pub const PAYMENTS: Lane = Lane::named("payments");
/// The carrier.
pub const CARRIER: Lane = Lane::named("carrier");
