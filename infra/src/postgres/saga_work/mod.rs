//! The sagas' work queue on the read models' database.

use async_trait::async_trait;
use domain::Timestamp;
use sagas::engine::work::{Cursor, Due, Lane, OpenWork, WorkError, WorkQueue};
use sagas::standing::{SagaWork, StuckSaga};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::read_store::snapshot;
use super::{Database, checkpoints};
use crate::saga_standing::STUCK;

/// The work queue, where the projection `sagas` writes it.
#[derive(Debug, Clone)]
pub struct PostgresSagaWork(Database);

impl PostgresSagaWork {
    /// The queue of a database that the projection was prepared in.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self(database)
    }
}

fn unavailable(error: impl std::fmt::Display) -> WorkError {
    WorkError(error.to_string())
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn stuck(row: &PgRow) -> sqlx::Result<StuckSaga> {
    Ok(StuckSaga {
        tenant: row.try_get("tenant")?,
        order_id: row.try_get("order_id")?,
        reason: row.try_get("reason")?,
        since: row.try_get("since")?,
    })
}

fn open_work(row: &PgRow) -> Result<OpenWork, WorkError> {
    let item: &str = row.try_get("item").map_err(unavailable)?;
    Ok(OpenWork {
        item: serde_json::from_str(item).map_err(unavailable)?,
        opened_at: row.try_get("opened_at").map_err(unavailable)?,
        due_at: row.try_get("due_at").map_err(unavailable)?,
    })
}

#[async_trait]
impl WorkQueue for PostgresSagaWork {
    async fn due(&self, lane: &Lane, by: Timestamp, after: &Cursor, limit: usize) -> Result<Due, WorkError> {
        let mut both = snapshot(self.0.reads()).await.map_err(unavailable)?;
        let mark = checkpoints::mark(&mut both, sagas::projection::NAME).await.map_err(unavailable)?;
        let select = sqlx::query(include_str!("select_due.sql")).bind(lane.as_str()).bind(by);
        let select = select.bind(after.opened_at).bind(&after.tenant).bind(&after.id).bind(rows(limit));
        let found = select.fetch_all(&mut *both).await.map_err(unavailable)?;
        both.rollback().await.map_err(unavailable)?;
        Ok(Due { mark, work: found.iter().map(open_work).collect::<Result<_, _>>()? })
    }
}

#[async_trait]
impl SagaWork for PostgresSagaWork {
    async fn stuck(&self, overdue: Timestamp, limit: usize) -> Result<Vec<StuckSaga>, WorkError> {
        let select = sqlx::query(STUCK).bind(overdue).bind(rows(limit));
        let found = select.fetch_all(self.0.reads()).await.map_err(unavailable)?;
        found.iter().map(|row| stuck(row).map_err(unavailable)).collect()
    }
}
