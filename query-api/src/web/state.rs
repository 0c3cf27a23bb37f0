//! What the query side needs from the outside.

use std::sync::Arc;
use std::time::Duration;

use domain::aggregate::Registry;
use domain::ports::keys::SubjectKeys;
use domain::ports::log::LogReader;
use projections::engine::read_models::ReadModels;

use crate::verifier::Verifier;
use crate::web::cursor::CursorKey;

/// The ports that queries are answered from.
#[derive(Clone)]
pub struct QueryPorts {
    /// The read models.
    pub read: Arc<dyn ReadModels>,
    /// For opening one's own personal data.
    pub keys: Arc<dyn SubjectKeys>,
    /// For the heads of the shards.
    pub log: Arc<dyn LogReader>,
    /// Every aggregate type, for folding a stream's state as of then.
    pub registry: Arc<Registry>,
    /// Checks the log's hash chain.
    pub verifier: Arc<dyn Verifier>,
}

/// The query side's settings.
#[derive(Debug, Clone)]
pub struct QueryConfig {
    /// N of the store.
    pub shards: u16,
    /// How long a query waits for its Sync-Token.
    pub wait: Duration,
    /// The key of cursors.
    pub cursors: CursorKey,
    /// How long work of a saga may be due before the saga counts as stuck.
    pub stuck_after: Duration,
}

impl QueryConfig {
    /// The settings of a store of `shards` shards: a wait of 5 s.
    #[must_use]
    pub fn new(shards: u16, cursors: CursorKey) -> Self {
        Self { shards, wait: Duration::from_secs(5), cursors, stuck_after: Duration::from_mins(2) }
    }
}

/// The state of the query side's router. Cheap to clone.
#[derive(Clone)]
pub struct QueryState {
    pub(crate) ports: QueryPorts,
    pub(crate) config: QueryConfig,
}

impl QueryState {
    /// Puts ports and settings together.
    #[must_use]
    pub fn new(ports: QueryPorts, config: QueryConfig) -> Self {
        Self { ports, config }
    }
}
