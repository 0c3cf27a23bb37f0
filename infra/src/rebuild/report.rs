//! What a rebuild tells while it runs and at its end.

use domain::merkle::Hash;
use serde::Serialize;

/// What a rebuild is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Bringing the live projection up to the log's end.
    CatchUp,
    /// Building rows.
    Rows,
    /// Building the search index.
    Search,
    /// Putting what was built in place.
    Swap,
}

impl Phase {
    /// For people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::CatchUp => "catching up",
            Self::Rows => "building rows",
            Self::Search => "building the search index",
            Self::Swap => "putting it in place",
        }
    }
}

/// How far a rebuild has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RebuildProgress {
    /// What it is doing.
    pub phase: Phase,
    /// Events done in this phase.
    pub done: u64,
    /// Events in all.
    pub total: u64,
}

/// What a rebuild found for one projection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RebuildReport {
    /// The projection.
    pub projection: &'static str,
    /// Events of the log: applied and parked together.
    pub events: u64,
    /// Of these, parked.
    pub parked: u64,
    /// Rows (documents) built.
    pub rows: u64,
    /// Keys whose live row differed from the built one, or that only one side had.
    pub differing_rows: u64,
    /// Of these, keys that only the live rows had.
    pub only_live: u64,
    /// Of these, keys that only the built rows have.
    pub only_built: u64,
    /// Some of the differing rows.
    pub examples: Vec<RowDifference>,
    /// The digest of the live rows, SHA-256, lower-case hex in JSON; zeros when they couldn't be compared, being of another version.
    #[serde(serialize_with = "hex::serialize")]
    pub digest_before: Hash,
    /// The digest of the built rows.
    #[serde(serialize_with = "hex::serialize")]
    pub digest_after: Hash,
}

/// A row that differed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowDifference {
    /// The table, or index.
    pub table: &'static str,
    /// The values of its key, separated by `/`.
    pub key: String,
    /// How it differed.
    pub difference: Difference,
}

/// How a row differed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// Only the live rows had it.
    OnlyLive,
    /// Only the built rows have it.
    OnlyBuilt,
    /// Both have it, with other contents.
    Changed {
        /// The columns that differ; empty when that isn't known.
        columns: Vec<String>,
    },
}

impl RebuildReport {
    /// Whether the live rows were what the log says; `false` when there were none to compare with.
    #[must_use]
    pub fn equal(&self) -> bool {
        self.digest_before == self.digest_after
    }
}
