//! The rows of the projection `events` as a copy of the log's events.

use domain::position::Shard;
use projections::engine::store::StoreError;
use uuid::Uuid;

use super::Database;
use crate::event_copy::{EventCopy, Events, paged};

/// The copy in the view `events`.
pub struct PostgresEvents(Database);

impl PostgresEvents {
    /// In a database that the projection was prepared in.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self(database)
    }
}

impl EventCopy for PostgresEvents {
    fn name(&self) -> &'static str {
        "postgresql"
    }

    fn projection(&self) -> Option<&'static str> {
        Some("events")
    }

    fn events(&self, shard: Shard, after: u64, through: u64) -> Events {
        let database = self.0.clone();
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        paged(after, move |after| {
            let database = database.clone();
            async move {
                let select = sqlx::query_as::<_, (i64, Uuid)>(include_str!("select_events.sql"))
                    .bind(i64::from(shard.0))
                    .bind(number(after))
                    .bind(number(through));
                let rows = select.fetch_all(database.reads()).await;
                let rows = rows.map_err(|e| StoreError::Unavailable(e.to_string()))?;
                Ok(rows.into_iter().map(|(n, id)| (n.unsigned_abs(), id)).collect())
            }
        })
    }
}
