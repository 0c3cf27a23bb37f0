//! The read models' database: rows, checkpoints and dead letters, moved in one transaction.
//!
//! Readers see views; behind each stands a table of the projection's live *generation* (see `schema`). A transaction that applies
//! events locks the projection's row against a swap, moves its checkpoints if they stand where the caller thinks, and writes rows by
//! the hundred. Processes that consume different shards write at the same time: they meet only in rows with several source streams,
//! and take turns there.

mod analysts;
mod apply;
pub(crate) mod columns;
pub(super) mod digest;
mod documented;
mod letters;
mod origin;
mod plan;
pub(super) mod schema;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::merkle::Hash;
use domain::ports::log::StoreInfo;
use domain::position::{Position, Seen};
use domain::stream::StreamId;
use projections::engine::mark::Generation;
use projections::engine::model::Projection;
use projections::engine::store::{
    Batch, DeadLetter, DeadLetters, Loaded, Redrive, RowStore, StoreError, Visibility,
};
use sqlx::postgres::PgPool;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use uuid::Uuid;

use self::letters::Letters;
use self::schema::{Live, live, physical};
use super::Database;

/// A transaction that takes longer has failed: its connection may hang.
const PATIENCE: Duration = Duration::from_secs(60);
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Rows, checkpoints and dead letters on PostgreSQL. Cheap to clone; what one of them knows the others know.
#[derive(Clone)]
pub struct PostgresReadStore {
    database: Database,
    target: Target,
    /// What this process takes the projections to be.
    known: Arc<Mutex<HashMap<&'static str, KnownProjection>>>,
}

/// Which generations are written.
#[derive(Clone)]
enum Target {
    /// The live ones.
    Live,
    /// These, which nobody sees yet.
    Filling(Arc<HashMap<&'static str, i32>>),
}

/// A projection as this process has prepared and loaded it.
#[derive(Clone)]
struct KnownProjection {
    version: u32,
    /// Of the tables that it is made for.
    shape: String,
    /// The live generation when it was loaded last; 0 before.
    generation: i32,
}

impl KnownProjection {
    /// Why the live rows are others' to write.
    fn foreign(&self, projection: &str, live: &Live) -> Option<String> {
        let of = format!("the live rows of {projection} are of version {}", live.version);
        match self.version.cmp(&live.version) {
            Ordering::Equal if self.shape == live.shape => None,
            Ordering::Less => Some(format!(
                "{of}, and this program is made for {}: `tillstream rebuild --rollback {projection}` goes back to that",
                self.version
            )),
            _ => Some(format!("{of}; version {} is being filled beside them", self.version)),
        }
    }
}

impl PostgresReadStore {
    /// The store in a database; nothing is made before [`migrate`](Self::migrate) or `prepare`.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database, target: Target::Live, known: Arc::default() }
    }

    /// The same for generations that are being filled.
    pub(super) fn filling(database: Database, generations: HashMap<&'static str, i32>) -> Self {
        Self { database, target: Target::Filling(Arc::new(generations)), known: Arc::default() }
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Makes what all projections share; safe in many processes at once.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let mut tx = self.database.writes().begin().await.map_err(unavailable)?;
        schema::lock(&mut tx, self.database.schema()).await.map_err(unavailable)?;
        schema::migrate(&mut tx, self.database.schema()).await.map_err(unavailable)?;
        tx.commit().await.map_err(unavailable)
    }

    /// Whether a projection has parked the stream.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn is_parked(&self, projection: &'static str, stream: &StreamId) -> Result<bool, StoreError> {
        sqlx::query_scalar(include_str!("is_parked.sql"))
            .bind(projection)
            .bind(stream.tenant())
            .bind(stream.kind())
            .bind(stream.id())
            .fetch_one(self.database.reads())
            .await
            .map_err(unavailable)
    }

    fn known(&self, projection: &str) -> Option<KnownProjection> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(projection).cloned()
    }

    fn learn(&self, projection: &dyn Projection) {
        let (version, shape) = (projection.version(), schema::shape(projection));
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = all.get(projection.name()).map_or(0, |known| known.generation);
        all.insert(projection.name(), KnownProjection { version, shape, generation });
    }

    fn learn_generation(&self, projection: &str, generation: i32) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get_mut(projection) {
            known.generation = generation;
        }
    }

    /// The generation that reads of a projection go to; 0 when its rows aren't here.
    async fn generation(&self, conn: &mut PgConnection, projection: &str) -> Result<i32, StoreError> {
        match &self.target {
            Target::Filling(generations) => Ok(generations.get(projection).copied().unwrap_or(0)),
            Target::Live => {
                let live = live(conn, projection, false).await.map_err(unavailable)?;
                Ok(live.map_or(0, |live| live.generation))
            }
        }
    }

    async fn letters_of(
        &self,
        conn: &mut PgConnection,
        projection: &'static str,
    ) -> Result<Letters, StoreError> {
        Ok(Letters { projection, generation: self.generation(conn, projection).await? })
    }

    async fn loaded(
        &self,
        conn: &mut PgConnection,
        projection: &'static str,
        generation: i32,
    ) -> Result<Loaded, StoreError> {
        let (seen, marks) = origin::stood(&mut *conn, projection, generation).await?;
        let (parked, letters) = Letters { projection, generation }.parked(conn).await?;
        let generation = Generation::named(generation.to_string());
        Ok(Loaded { generation, seen, foreign: None, parked, letters, marks })
    }

    /// Positions of a generation's checkpoints.
    pub(super) async fn seen(
        &self,
        conn: &mut PgConnection,
        projection: &str,
        generation: i32,
    ) -> Result<Seen, StoreError> {
        Ok(origin::stood(conn, projection, generation).await?.0)
    }
}

/// Begins a transaction that changes nothing and sees one state.
pub(super) async fn snapshot(pool: &PgPool) -> Result<Transaction<'static, Postgres>, StoreError> {
    pool.begin_with(SNAPSHOT).await.map_err(unavailable)
}

/// A snapshot for statements that may take as long as they need.
pub(super) async fn unhurried(pool: &PgPool) -> Result<Transaction<'static, Postgres>, StoreError> {
    let mut tx = snapshot(pool).await?;
    sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *tx).await.map_err(unavailable)?;
    Ok(tx)
}

pub(super) fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(format!("postgresql: {error}"))
}

fn moved(projection: &str) -> StoreError {
    StoreError::Moved(projection.to_owned())
}

/// Whether PostgreSQL would say the same again: a failure of the contents, not of the storage.
fn refused(error: sqlx::Error) -> StoreError {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    // Data exceptions, broken constraints, limits of the program: a row too large for an index, text too deep.
    let contents = code.is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)));
    match error {
        error if contents => StoreError::Refused(error.to_string()),
        error @ sqlx::Error::Encode(_) => StoreError::Refused(error.to_string()),
        error => unavailable(error),
    }
}

/// A count as the database keeps it; none comes near the bound.
fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Gives up on work that hangs: nobody can know then whether it was done, and asking again tells.
async fn patiently<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| {
        Err(StoreError::Unavailable(format!("postgresql: no answer within {} s", PATIENCE.as_secs())))
    })
}

#[async_trait]
impl RowStore for PostgresReadStore {
    async fn prepare(&self, projections: &[Arc<dyn Projection>], log: StoreInfo) -> Result<(), StoreError> {
        if matches!(self.target, Target::Filling(_)) {
            return Ok(());
        }
        let schema = self.database.schema();
        let mut tx = self.database.writes().begin().await.map_err(unavailable)?;
        if !schema::is_prepared(&mut tx, schema, projections).await.map_err(unavailable)? {
            schema::lock(&mut tx, schema).await.map_err(unavailable)?;
            schema::migrate(&mut tx, schema).await.map_err(unavailable)?;
            for projection in projections {
                schema::prepare(&mut tx, schema, projection.as_ref(), log.shards)
                    .await
                    .map_err(unavailable)?;
            }
        }
        origin::bind(&mut tx, &self.database, log.id).await?;
        tx.commit().await.map_err(unavailable)?;
        projections.iter().for_each(|projection| self.learn(projection.as_ref()));
        Ok(())
    }

    async fn renew(&self, projection: &Arc<dyn Projection>, found: &Loaded) -> Result<(), StoreError> {
        self.renew_live(projection.as_ref(), &(found.seen.clone(), found.marks.clone())).await
    }

    async fn event_at(&self, position: Position) -> Result<Option<Uuid>, StoreError> {
        self.event_of_rows(position).await
    }

    async fn load(&self, projection: &'static str) -> Result<Loaded, StoreError> {
        let mut tx = snapshot(self.database.reads()).await?;
        let Target::Live = &self.target else {
            let generation = self.generation(&mut tx, projection).await?;
            return self.loaded(&mut tx, projection, generation).await;
        };
        let live = live(&mut tx, projection, false).await.map_err(unavailable)?;
        let Some(live) = live else {
            let (generation, seen) = (Generation::none(), Seen::none(0));
            let (parked, marks) = (Vec::new(), Vec::new());
            return Ok(Loaded { generation, seen, foreign: None, parked, letters: 0, marks });
        };
        let foreign = self.known(projection).and_then(|known| known.foreign(projection, &live));
        if foreign.is_none() {
            self.learn_generation(projection, live.generation);
        }
        let loaded = self.loaded(&mut tx, projection, live.generation).await?;
        Ok(Loaded { foreign, ..loaded })
    }

    async fn peek(&self, projection: &'static str) -> Result<Loaded, StoreError> {
        let mut tx = snapshot(self.database.reads()).await?;
        let generation = self.generation(&mut tx, projection).await?;
        self.loaded(&mut tx, projection, generation).await
    }

    async fn apply(&self, batch: Batch) -> Result<Visibility, StoreError> {
        patiently(self.apply_batch(&batch)).await?;
        Ok(Visibility::Stored)
    }

    async fn letters(
        &self,
        projection: &'static str,
        stream: &StreamId,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let mut tx = snapshot(self.database.reads()).await?;
        self.letters_of(&mut tx, projection).await?.select(&mut tx, stream, limit).await
    }

    async fn redrive(&self, step: Redrive) -> Result<(), StoreError> {
        patiently(self.redrive_step(&step)).await
    }

    async fn digest(&self, projection: &Arc<dyn Projection>) -> Result<Hash, StoreError> {
        let mut tx = unhurried(self.database.reads()).await?;
        let generation = self.generation(&mut tx, projection.name()).await?;
        let physical = physical(self.database.schema(), projection.name(), generation);
        digest::digest(&mut tx, &physical, projection.as_ref()).await.map_err(unavailable)
    }
}

#[async_trait]
impl DeadLetters for PostgresReadStore {
    async fn park(&self, projection: &'static str, batch: Vec<DeadLetter>) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut tx = self.database.writes().begin().await.map_err(unavailable)?;
        let letters = self.letters_of(&mut tx, projection).await?;
        letters.lock(&mut tx).await?;
        letters.park(&mut tx, &batch).await?;
        tx.commit().await.map_err(unavailable)
    }

    async fn id(&self) -> Result<Uuid, StoreError> {
        sqlx::query_scalar("SELECT id FROM store").fetch_one(self.database.reads()).await.map_err(unavailable)
    }

    async fn parked(&self, projection: &'static str) -> Result<(Vec<(StreamId, u64)>, u64), StoreError> {
        let mut tx = snapshot(self.database.reads()).await?;
        self.letters_of(&mut tx, projection).await?.parked(&mut tx).await
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
        let mut tx = self.database.writes().begin().await.map_err(unavailable)?;
        let letters = self.letters_of(&mut tx, projection).await?;
        letters.lock(&mut tx).await?;
        letters.settle(&mut tx, &settled).await?;
        tx.commit().await.map_err(unavailable)
    }

    async fn clear(&self, projection: &'static str) -> Result<(), StoreError> {
        let mut conn = self.database.writes().acquire().await.map_err(unavailable)?;
        let mut tx = conn.begin().await.map_err(unavailable)?;
        self.letters_of(&mut tx, projection).await?.clear(&mut tx).await?;
        tx.commit().await.map_err(unavailable)
    }
}
