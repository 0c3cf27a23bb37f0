//! The read models' questions on SQLite.

mod events;
mod rows;
mod sagas;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::Timestamp;
use domain::position::{Position, Seen, SyncToken};
use domain::stream::StreamId;
use projections::audit::events as audit;
use projections::engine::events::{EventFilter, EventPage};
use projections::engine::mark::Mark;
use projections::engine::query::{Listed, Page, Row as SelectedRow, Select};
use projections::engine::read_models::{ReadError, ReadModels};
use projections::engine::sagas::{self as processes, SagaFilter, SagaRow};
use projections::engine::store::StoreError;
use projections::engine::watermark::Watermark;
use rusqlite::Connection;
use tokio::time::Instant;
use uuid::Uuid;

use super::read_store::SqliteReadStore;
use super::read_store::apply::mark;
use crate::event_scan::{EventScan, ScanLimits};
use crate::read_side::Marks;

/// The questions, answered from `read.db`.
#[derive(Clone)]
pub struct EmbeddedReadModels {
    store: Arc<SqliteReadStore>,
    marks: Marks,
    scans: ScanLimits,
}

impl EmbeddedReadModels {
    /// Read models over running projections: `watermarks` are those of their runners. A model without one is never seen.
    #[must_use]
    pub fn new(store: Arc<SqliteReadStore>, watermarks: impl IntoIterator<Item = Watermark>) -> Self {
        Self { store, marks: Marks::new(watermarks), scans: ScanLimits::default() }
    }

    /// The same with other bounds of what a page of events may cost.
    #[must_use]
    pub fn with_scans(self, scans: ScanLimits) -> Self {
        Self { scans, ..self }
    }

    /// How SQLite goes about a question (`EXPLAIN QUERY PLAN`), for those who check that indexes serve it.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn plan(&self, select: &Select) -> Result<Vec<String>, ReadError> {
        let question = select.clone();
        self.read(select.projection, move |conn| rows::plan(conn, &question)).await
    }

    /// Reads in one snapshot with the positions that the model's rows hold.
    async fn read<T: Send + 'static>(
        &self,
        model: &'static str,
        mut read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        loop {
            let needs = self.marks.needs();
            let answer = self.store.read(move |conn| {
                if let Some(token) = needs {
                    let mark = mark(conn, model)?;
                    if !mark.seen.covers(&token) {
                        return Ok(Answer::Behind(mark, read));
                    }
                }
                match read(conn) {
                    Err(error) if lacks_columns(&error) => Ok(Answer::NotLive),
                    answer => answer.map(Answer::Rows),
                }
            });
            match answer.await.map_err(read_error)? {
                Answer::Rows(answer) => return Ok(answer),
                Answer::NotLive => return Err(ReadError::NotLive { model }),
                Answer::Behind(mark, again) => {
                    self.marks.fallen(model, &mark).await?;
                    read = again;
                }
            }
        }
    }
}

/// What a snapshot says to a question.
enum Answer<T, Q> {
    Rows(T),
    /// The rows don't hold what is needed, and the question is to be asked again.
    Behind(Mark, Q),
    /// The rows are of another version, which lacks columns.
    NotLive,
}

/// "SQL error or missing database": the statements are right, so the tables are of another version.
fn lacks_columns(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqlInputError { .. } => true,
        rusqlite::Error::SqliteFailure(error, _) => error.extended_code == rusqlite::ffi::SQLITE_ERROR,
        _ => false,
    }
}

fn read_error(error: StoreError) -> ReadError {
    ReadError::Unavailable(error.to_string())
}

#[async_trait]
impl ReadModels for EmbeddedReadModels {
    async fn wait_for(
        &self,
        projection: &'static str,
        token: &SyncToken,
        wait: Duration,
    ) -> Result<(), ReadError> {
        self.marks.wait_for(projection, token, wait).await
    }

    fn after(self: Arc<Self>, token: &SyncToken, until: Instant) -> Arc<dyn ReadModels> {
        Arc::new(Self { marks: self.marks.after(token, until), ..Self::clone(&self) })
    }

    fn seen(&self, projection: &'static str) -> Seen {
        self.marks.seen(projection)
    }

    async fn is_parked(&self, projection: &'static str, stream: &StreamId) -> Result<bool, ReadError> {
        self.store.is_parked(projection, stream).await.map_err(read_error)
    }

    async fn select(&self, select: &Select) -> Result<Vec<SelectedRow>, ReadError> {
        let question = select.clone();
        self.read(select.projection, move |conn| rows::select(conn, &question)).await
    }

    async fn saga(
        &self,
        tenant: &str,
        order: Uuid,
        overdue: Timestamp,
    ) -> Result<Option<SagaRow>, ReadError> {
        let tenant = tenant.to_owned();
        self.read(processes::NAME, move |conn| sagas::saga(conn, &tenant, order, overdue)).await
    }

    async fn sagas(
        &self,
        tenant: &str,
        filter: &SagaFilter,
        page: &Page,
    ) -> Result<Listed<SagaRow>, ReadError> {
        let query = sagas::query(tenant, filter, page)?;
        self.read(processes::NAME, move |conn| sagas::list(conn, &query)).await
    }

    async fn events(
        &self,
        tenant: &str,
        filter: &EventFilter,
        from: Position,
        heads: &Seen,
        limit: usize,
    ) -> Result<EventPage, ReadError> {
        let (tenant, filter) = (tenant.to_owned(), filter.clone());
        let scan = EventScan::new(from, heads, limit, self.scans);
        self.read(audit::NAME, move |conn| events::matching(conn, &tenant, &filter, scan)).await
    }
}
