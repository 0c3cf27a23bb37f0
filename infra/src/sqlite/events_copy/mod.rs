//! The rows of the projection `events` as a copy of the log's events.

use std::sync::Arc;

use domain::position::Shard;
use uuid::Uuid;

use super::read_store::SqliteReadStore;
use crate::event_copy::{EventCopy, Events, paged};

/// The copy in `read.db`.
pub struct SqliteEvents(Arc<SqliteReadStore>);

impl SqliteEvents {
    /// In a read database that the projection was prepared in.
    #[must_use]
    pub fn new(store: Arc<SqliteReadStore>) -> Self {
        Self(store)
    }
}

impl EventCopy for SqliteEvents {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn projection(&self) -> Option<&'static str> {
        Some("events")
    }

    fn events(&self, shard: Shard, after: u64, through: u64) -> Events {
        let store = Arc::clone(&self.0);
        paged(after, move |after| {
            let store = Arc::clone(&store);
            async move {
                let read = store.read(move |conn| {
                    let mut select = conn.prepare_cached(include_str!("select_events.sql"))?;
                    let rows = select.query_map((shard.0, after, through), |row| {
                        Ok((row.get(0)?, Uuid::from_bytes(row.get(1)?)))
                    })?;
                    rows.collect()
                });
                read.await
            }
        })
    }
}
