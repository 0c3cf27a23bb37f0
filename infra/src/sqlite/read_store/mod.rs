//! The read models' database, `read.db`: rows, checkpoints and dead letters in one file, so that they move in one transaction.
//!
//! A commit waits for no disk: what a power cut takes away is both rows and checkpoint, so the events are applied again. The
//! tables come from the projections' own [`Table`](projections::engine::rows::Table) definitions; a UUID is a 16-byte blob, an instant an
//! integer of microseconds since 1970, a truth value 0 or 1.

pub(super) mod apply;
pub mod columns;
mod digest;
mod letters;
mod origin;
mod pool;
mod schema;
mod swap;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use domain::merkle::Hash;
use domain::ports::log::StoreInfo;
use domain::position::Position;
use domain::stream::StreamId;
use projections::engine::model::Projection;
use projections::engine::store::{
    Batch, DeadLetter, DeadLetters, Loaded, Redrive, RowStore, StoreError, Visibility,
};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use uuid::Uuid;

pub use self::origin::{has_applied, refuse_other};
use self::pool::ReadPool;
use self::schema::Made;
pub use self::swap::TableDifference;
use super::connection::{Durability, is_broken, open_writer};
use super::thread::DbThread;

/// The file's name in the data directory.
pub const READ_FILE: &str = "read.db";

/// Statements kept prepared: one per set of columns that a row's changes in a batch come to, and there are some dozens.
const STATEMENTS: usize = 256;

/// Why the read database can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenReadStoreError {
    /// The file can't be opened or prepared.
    #[error("can't open {}: {source}", file.display())]
    Storage {
        /// The file.
        file: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// Something else of the operating system.
    #[error("can't use {}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
}

/// Rows, checkpoints and dead letters on SQLite.
pub struct SqliteReadStore {
    // The order matters when dropped: readers first, so that the writer is the last to close and leaves no journal behind.
    readers: Arc<ReadPool>,
    writer: DbThread,
    /// What this program makes the projections' rows like that were prepared.
    known: Mutex<HashMap<&'static str, Made>>,
    file: PathBuf,
}

impl SqliteReadStore {
    /// Opens `read.db` in a directory. A broken file is thrown away and made anew: the projections fill it from the log.
    ///
    /// # Errors
    /// [`OpenReadStoreError`].
    pub fn open(dir: &Path) -> Result<Self, OpenReadStoreError> {
        Self::open_file(dir.join(READ_FILE))
    }

    /// The same for a file of any name.
    ///
    /// # Errors
    /// [`OpenReadStoreError`].
    pub fn open_file(file: PathBuf) -> Result<Self, OpenReadStoreError> {
        let conn = match open(&file) {
            Err(error) if is_broken(&error) => {
                tracing::warn!(file = %file.display(), %error, "the read database is broken; building it anew");
                remove(&file).map_err(|source| OpenReadStoreError::Io { file: file.clone(), source })?;
                open(&file)
            }
            opened => opened,
        };
        let conn = conn.map_err(|source| OpenReadStoreError::Storage { file: file.clone(), source })?;
        let writer = DbThread::spawn("read-store", conn)
            .map_err(|source| OpenReadStoreError::Io { file: file.clone(), source })?;
        let (known, readers) = (Mutex::default(), Arc::new(ReadPool::new(file.clone())));
        Ok(Self { writer, readers, known, file })
    }

    /// Runs a read in one snapshot, on a blocking thread. For adapters that ask their own questions of projections' tables.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.run(read).await
    }

    /// Runs a job in a transaction on the writer's thread.
    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let answer = self.writer.run(move |conn| {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unavailable)?;
            let answer = job(&tx)?;
            tx.commit().map_err(unavailable)?;
            Ok(answer)
        });
        answer.await.map_err(|e| StoreError::Unavailable(e.to_string()))?
    }

    /// Whether a projection has parked the stream.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn is_parked(&self, projection: &'static str, stream: &StreamId) -> Result<bool, StoreError> {
        let stream = stream.clone();
        self.read(move |conn| letters::is_parked(conn, projection, &stream)).await
    }
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    let conn = open_writer(file, Durability::Lazy)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.execute_batch(include_str!("schema.sql"))?;
    origin::complete(&conn)?;
    Ok(conn)
}

/// Removes a database file with what belongs to it.
pub(crate) fn remove(file: &Path) -> std::io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn unavailable(error: rusqlite::Error) -> StoreError {
    StoreError::Unavailable(format!("{READ_FILE}: {error}"))
}

/// Whether SQLite would say the same again: a failure of the contents, not of the storage.
fn refused(error: rusqlite::Error) -> StoreError {
    let contents = match &error {
        rusqlite::Error::SqliteFailure(e, _) => match e.code {
            ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch => true,
            // "SQL error or missing database": a change that names what its table doesn't have.
            _ => e.extended_code == rusqlite::ffi::SQLITE_ERROR,
        },
        rusqlite::Error::SqlInputError { .. }
        | rusqlite::Error::InvalidParameterCount(..)
        | rusqlite::Error::ToSqlConversionFailure(_) => true,
        _ => false,
    };
    if contents { StoreError::Refused(error.to_string()) } else { unavailable(error) }
}

#[async_trait]
impl RowStore for SqliteReadStore {
    async fn prepare(&self, projections: &[Arc<dyn Projection>], log: StoreInfo) -> Result<(), StoreError> {
        let made = projections.iter().map(|projection| (projection.name(), Made::by(projection.as_ref())));
        self.known.lock().unwrap_or_else(PoisonError::into_inner).extend(made);
        let (projections, file) = (projections.to_vec(), self.file.clone());
        self.write(move |conn| {
            origin::bind(conn, &file, log.id)?;
            projections
                .iter()
                .try_for_each(|p| schema::prepare(conn, p.as_ref(), log.shards).map_err(unavailable))
        })
        .await
    }

    async fn renew(&self, projection: &Arc<dyn Projection>, found: &Loaded) -> Result<(), StoreError> {
        let (projection, found) = (Arc::clone(projection), found.clone());
        self.write(move |conn| {
            let now = origin::loaded(conn, projection.name()).map_err(unavailable)?;
            if now.seen != found.seen || now.marks != found.marks {
                return Err(StoreError::Moved(projection.name().to_owned()));
            }
            let shards = u16::try_from(found.seen.positions().count()).unwrap_or(u16::MAX);
            schema::renew(conn, projection.as_ref(), shards).map_err(unavailable)
        })
        .await
    }

    async fn event_at(&self, position: Position) -> Result<Option<Uuid>, StoreError> {
        self.read(move |conn| origin::event_at(conn, position)).await
    }

    async fn load(&self, projection: &'static str) -> Result<Loaded, StoreError> {
        let ours = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(projection).cloned();
        self.read(move |conn| {
            let stored = Made::stored(conn, projection)?;
            let foreign = stored.zip(ours).and_then(|(stored, ours)| stored.foreign(projection, &ours));
            Ok(Loaded { foreign, ..origin::loaded(conn, projection)? })
        })
        .await
    }

    async fn apply(&self, batch: Batch) -> Result<Visibility, StoreError> {
        self.write(move |conn| apply::apply(conn, &batch)).await?;
        Ok(Visibility::Stored)
    }

    async fn letters(
        &self,
        projection: &'static str,
        stream: &StreamId,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let stream = stream.clone();
        self.read(move |conn| letters::select(conn, projection, &stream, limit)).await
    }

    async fn redrive(&self, step: Redrive) -> Result<(), StoreError> {
        self.write(move |conn| {
            step.letters.iter().try_for_each(|position| letters::settle(conn, step.projection, *position))?;
            apply::changes(conn, &step.changes)
        })
        .await
    }

    async fn digest(&self, projection: &Arc<dyn Projection>) -> Result<Hash, StoreError> {
        let projection = Arc::clone(projection);
        self.read(move |conn| digest::digest(conn, projection.as_ref())).await
    }
}

#[async_trait]
impl DeadLetters for SqliteReadStore {
    async fn park(&self, projection: &'static str, batch: Vec<DeadLetter>) -> Result<(), StoreError> {
        self.write(move |conn| letters::park(conn, projection, &batch)).await
    }

    async fn id(&self) -> Result<Uuid, StoreError> {
        self.read(|conn| conn.query_row("SELECT id FROM store", [], |row| columns::uuid(row, 0))).await
    }

    async fn parked(&self, projection: &'static str) -> Result<(Vec<(StreamId, u64)>, u64), StoreError> {
        self.read(move |conn| letters::parked(conn, projection)).await
    }

    async fn oldest(
        &self,
        projection: &'static str,
        stream: &StreamId,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        RowStore::letters(self, projection, stream, limit).await
    }

    async fn settle(&self, projection: &'static str, settled: Vec<Position>) -> Result<(), StoreError> {
        self.write(move |conn| settled.iter().try_for_each(|p| letters::settle(conn, projection, *p))).await
    }

    async fn clear(&self, projection: &'static str) -> Result<(), StoreError> {
        self.write(move |conn| letters::clear(conn, projection)).await
    }
}
