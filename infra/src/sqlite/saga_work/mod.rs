//! The sagas' work queue on the read database.

use std::sync::Arc;

use async_trait::async_trait;
use domain::Timestamp;
use projections::engine::store::StoreError;
use rusqlite::params;
use sagas::engine::work::{Cursor, Due, Lane, OpenWork, WorkError, WorkQueue};
use sagas::standing::{SagaWork, StuckSaga};

use super::read_store::apply::mark;
use super::read_store::{SqliteReadStore, columns};
use crate::saga_standing::STUCK;

/// The work queue in `read.db`, where the projection `sagas` writes it.
#[derive(Clone)]
pub struct SqliteSagaWork(Arc<SqliteReadStore>);

impl SqliteSagaWork {
    /// The queue of a read database that the projection was prepared in.
    #[must_use]
    pub fn new(store: Arc<SqliteReadStore>) -> Self {
        Self(store)
    }
}

fn unavailable(error: StoreError) -> WorkError {
    WorkError(error.to_string())
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[async_trait]
impl WorkQueue for SqliteSagaWork {
    async fn due(&self, lane: &Lane, by: Timestamp, after: &Cursor, limit: usize) -> Result<Due, WorkError> {
        let (lane, Cursor { opened_at, tenant, id }) = (lane.clone(), after.clone());
        let read = self.0.read(move |conn| {
            let mark = mark(conn, sagas::projection::NAME)?;
            let mut select = conn.prepare_cached(include_str!("select_due.sql"))?;
            let (by, opened_at) = (by.timestamp_micros(), opened_at.timestamp_micros());
            let work = select
                .query_map(params![lane.as_str(), by, opened_at, tenant, id, rows(limit)], |row| {
                    let due_at = row.get::<_, Option<i64>>(2)?.and_then(Timestamp::from_timestamp_micros);
                    Ok(OpenWork { item: columns::json(row, 0)?, opened_at: columns::time(row, 1)?, due_at })
                })?
                .collect::<rusqlite::Result<_>>()?;
            Ok(Due { mark, work })
        });
        read.await.map_err(unavailable)
    }
}

#[async_trait]
impl SagaWork for SqliteSagaWork {
    async fn stuck(&self, overdue: Timestamp, limit: usize) -> Result<Vec<StuckSaga>, WorkError> {
        let read = self.0.read(move |conn| {
            let mut select = conn.prepare_cached(&STUCK.replace('$', "?"))?;
            let stuck = select.query_map(params![overdue.timestamp_micros(), rows(limit)], |row| {
                Ok(StuckSaga {
                    tenant: row.get(0)?,
                    order_id: columns::uuid(row, 1)?,
                    reason: row.get(2)?,
                    since: columns::time(row, 3)?,
                })
            })?;
            stuck.collect()
        });
        read.await.map_err(unavailable)
    }
}

#[cfg(test)]
mod tests;
