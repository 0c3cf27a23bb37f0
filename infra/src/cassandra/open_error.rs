//! Why a store can't be opened.

use domain::frame::Slot;
use domain::position::{MAX_SHARDS, Position, Shard};
use uuid::Uuid;

/// Why a store on Cassandra or ScyllaDB can't be opened or made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// N is out of range.
    #[error("a store has 1 to {MAX_SHARDS} shards, not {0}")]
    Shards(u16),
    /// No node answers, or it refuses the user.
    #[error("the cluster can't be reached: {reason}")]
    Unreachable {
        /// What the driver said.
        reason: String,
    },
    /// Which data centre is the local one is not clear.
    #[error("the cluster's data centres: {0}")]
    Datacenter(String),
    /// The keyspace or its tables are not there.
    #[error("keyspace {keyspace} holds no store: run `tillstream migrate` first")]
    Missing {
        /// The keyspace.
        keyspace: String,
    },
    /// The tables are those of an older program.
    #[error(
        "keyspace {keyspace} has layout {found}, and this program needs {needed}: run `tillstream migrate` first"
    )]
    Older {
        /// The keyspace.
        keyspace: String,
        /// Its layout.
        found: i32,
        /// The layout that is needed.
        needed: i32,
    },
    /// A newer program made the tables.
    #[error(
        "keyspace {keyspace} has layout {found}, and this program knows up to {known}: use a newer tillstream"
    )]
    Newer {
        /// The keyspace.
        keyspace: String,
        /// Its layout.
        found: i32,
        /// The newest layout known.
        known: i32,
    },
    /// Owners are at work, and derived rows are to begin anew.
    #[error(
        "keyspace {keyspace} is in use by {running} processes, and derived rows are to be laid out anew: stop the servers first (one \
         that was killed counts for some seconds more)"
    )]
    Running {
        /// The keyspace.
        keyspace: String,
        /// How many there are.
        running: usize,
    },
    /// N was fixed when the store was made.
    #[error(
        "the store in keyspace {keyspace} was made with {stored} shards, which is fixed for ever, but the configuration says {asked}"
    )]
    OtherShards {
        /// The keyspace.
        keyspace: String,
        /// N of the store.
        stored: u16,
        /// N of the configuration.
        asked: u16,
    },
    /// The log ends before what derived rows were made from: it lost decided frames, or an older copy was put in its place.
    #[error(
        "{position}: the log lost this position: the table log ends at frame {tail} of shard {}, but derived rows were made of \
         frame {known}; put the right rows back, or, when an older copy was restored on purpose, truncate the tables \
         events_by_stream, snapshots, command_results, derived_marks and shard_progress",
        position.shard
    )]
    TailLost {
        /// The first position that is missing.
        position: Position,
        /// The last frame in the log.
        tail: u64,
        /// The last frame that derived rows know.
        known: u64,
    },
    /// Derived rows were made from the log of another store.
    #[error(
        "the derived rows of keyspace {keyspace} were made from the log of the store {theirs}, but the log there is that of the store \
         {ours}: put back what belongs together, or truncate the tables events_by_stream, snapshots, command_results, derived_marks \
         and shard_progress while no server runs: their rows are then made again"
    )]
    OtherLog {
        /// The keyspace.
        keyspace: String,
        /// Whose log the rows were made from.
        theirs: Uuid,
        /// Whose log is there.
        ours: Uuid,
    },
    /// Derived rows were made of a frame that the log holds otherwise: it was put back from an older copy, and went on.
    #[error(
        "the derived rows of keyspace {keyspace} were made of another {slot} than the log holds: truncate the tables events_by_stream, \
         snapshots, command_results, derived_marks and shard_progress while no server runs: their rows are then made again"
    )]
    OtherFrame {
        /// The keyspace.
        keyspace: String,
        /// The frame.
        slot: Slot,
    },
    /// A statement failed.
    #[error("{what}: {reason}")]
    Storage {
        /// What was tried.
        what: &'static str,
        /// What the driver or the server said.
        reason: String,
    },
}

/// Says what was tried when a statement failed.
pub(super) fn failed<E: std::error::Error>(what: &'static str) -> impl Fn(E) -> OpenError {
    move |error| OpenError::Storage { what, reason: one_line(&error) }
}

/// Derived rows are made of decided frames only: rows of frames that the log doesn't have mean that it lost its tail. Going on
/// would give the same positions to other events.
pub(super) fn tail_lost(shard: Shard, tail: u64, last_position: u64, known: u64) -> OpenError {
    OpenError::TailLost { position: Position { shard, n: last_position + 1 }, tail, known }
}

/// An error on one line.
pub(super) fn one_line(error: &dyn std::error::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
