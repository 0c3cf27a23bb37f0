//! What the rows were made from.

use std::time::Duration;

use domain::frame::FrameId;
use domain::position::{Position, Seen, Shard};
use projections::engine::model::Projection;
use projections::engine::origin::Mark;
use projections::engine::store::StoreError;
use sqlx::PgConnection;
use uuid::Uuid;

use super::schema::{self, live, physical};
use super::{PostgresReadStore, Target, moved, unavailable};
use crate::postgres::Database;
use crate::postgres::catalogue::has_table;

/// How often, and after which growing pause, a swap tries again that waits for a view's readers.
const SWAP_ATTEMPTS: u32 = 20;
const SWAP_PAUSE: Duration = Duration::from_millis(50);

/// Where a generation's checkpoints stand, and what was applied up to there.
pub(super) async fn stood(
    conn: &mut PgConnection,
    projection: &str,
    generation: i32,
) -> Result<(Seen, Vec<Mark>), StoreError> {
    type Row = (i32, i64, Option<i64>, Option<i64>, Option<Vec<u8>>);
    let rows: Vec<Row> = sqlx::query_as(include_str!("select_checkpoints.sql"))
        .bind(projection)
        .bind(generation)
        .fetch_all(conn)
        .await
        .map_err(unavailable)?;
    let mut seen = Seen::none(u16::try_from(rows.len()).unwrap_or(u16::MAX));
    let mut marks = Vec::new();
    for (shard, n, marked, number, hash) in rows {
        let shard = Shard(u16::try_from(shard).unwrap_or(u16::MAX));
        seen.advance(Position { shard, n: n.unsigned_abs() });
        let hash = hash.and_then(|hash| hash.try_into().ok());
        marks.extend(marked.zip(number).zip(hash).map(|((marked, number), hash)| Mark {
            position: Position { shard, n: marked.unsigned_abs() },
            frame: FrameId { number: number.unsigned_abs(), hash },
        }));
    }
    Ok((seen, marks))
}

/// Has the schema belong to a log, unless it belongs to another one.
pub(super) async fn bind(conn: &mut PgConnection, database: &Database, ours: Uuid) -> Result<(), StoreError> {
    let theirs: Option<Uuid> =
        sqlx::query_scalar("SELECT log FROM store").fetch_one(&mut *conn).await.map_err(unavailable)?;
    match theirs {
        Some(theirs) => compare(database, theirs, ours),
        None => {
            let bound = sqlx::query("UPDATE store SET log = $1").bind(ours).execute(conn).await;
            bound.map(|_| ()).map_err(unavailable)
        }
    }
}

impl PostgresReadStore {
    /// Refuses a schema that was made from another store's log, and makes nothing. One that isn't there yet is no concern of this.
    ///
    /// # Errors
    /// [`StoreError::OtherLog`]; [`StoreError::Unavailable`].
    pub async fn refuse_other(&self, ours: Uuid) -> Result<(), StoreError> {
        let mut conn = self.database.reads().acquire().await.map_err(unavailable)?;
        if !told(&mut conn, &self.database).await? {
            return Ok(());
        }
        let theirs: Option<Uuid> =
            sqlx::query_scalar("SELECT log FROM store").fetch_one(&mut *conn).await.map_err(unavailable)?;
        theirs.map_or(Ok(()), |theirs| compare(&self.database, theirs, ours))
    }

    /// Whether the schema was ever filled from a log.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn was_used(&self) -> Result<bool, StoreError> {
        if !self.is_made().await? {
            return Ok(false);
        }
        let mut conn = self.database.reads().acquire().await.map_err(unavailable)?;
        if told(&mut conn, &self.database).await? {
            let bound = sqlx::query_scalar("SELECT log IS NOT NULL FROM store").fetch_one(&mut *conn).await;
            if bound.map_err(unavailable)? {
                return Ok(true);
            }
        }
        self.has_applied().await
    }

    /// Whether the rows are those of any event.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn has_applied(&self) -> Result<bool, StoreError> {
        if !self.is_made().await? {
            return Ok(false);
        }
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM checkpoints WHERE position > 0)")
            .fetch_one(self.database.reads())
            .await
            .map_err(unavailable)
    }

    /// Whether the schema was made.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn is_made(&self) -> Result<bool, StoreError> {
        let mut conn = self.database.reads().acquire().await.map_err(unavailable)?;
        has_table(&mut conn, self.database.schema(), "store").await.map_err(unavailable)
    }
}

/// Whether the schema can tell its log: one of an older program can't.
async fn told(conn: &mut PgConnection, database: &Database) -> Result<bool, StoreError> {
    sqlx::query_scalar(include_str!("has_origin.sql"))
        .bind(format!("{}.checkpoints", database.schema()))
        .fetch_one(conn)
        .await
        .map_err(unavailable)
}

fn compare(database: &Database, theirs: Uuid, ours: Uuid) -> Result<(), StoreError> {
    if theirs == ours {
        return Ok(());
    }
    let what = format!("the schema {} of {}", database.schema(), database.url());
    let way_out = "name another schema in read.url and run `tillstream migrate`".to_owned();
    Err(StoreError::OtherLog { what, theirs, ours, way_out })
}

/// Why a generation wasn't swapped in.
enum Swap {
    /// Somebody reads the view.
    Waits,
    Failed(StoreError),
}

impl From<StoreError> for Swap {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<sqlx::Error> for Swap {
    fn from(error: sqlx::Error) -> Self {
        if schema::is_lock_timeout(&error) { Self::Waits } else { Self::Failed(unavailable(error)) }
    }
}

impl PostgresReadStore {
    /// Puts an empty generation in the place of one whose checkpoints stand as they were found. The one before goes too: it was made
    /// from the same.
    pub(super) async fn renew_live(
        &self,
        projection: &dyn Projection,
        found: &(Seen, Vec<Mark>),
    ) -> Result<(), StoreError> {
        let name = projection.name();
        if let Target::Filling(_) = self.target {
            return Err(StoreError::Unavailable(format!(
                "what {name} was built from is not in the log any more"
            )));
        }
        for attempt in 1.. {
            match self.swap_empty(projection, found).await {
                Err(Swap::Waits) if attempt < SWAP_ATTEMPTS => {
                    tokio::time::sleep(SWAP_PAUSE * attempt).await;
                }
                Err(Swap::Waits) => {
                    let reason = format!("the view of {name} is in use by a transaction that doesn't end");
                    return Err(StoreError::Unavailable(reason));
                }
                Err(Swap::Failed(error)) => return Err(error),
                Ok(replaced) => {
                    for old in replaced {
                        // Somebody may still read them; the next rebuild removes them then.
                        if let Err(error) = self.remove(name, old).await {
                            tracing::warn!(projection = name, %error, "can't remove tables that were not made from this log yet");
                        }
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Puts an empty generation in place; answers those that it replaces.
    async fn swap_empty(
        &self,
        projection: &dyn Projection,
        found: &(Seen, Vec<Mark>),
    ) -> Result<Vec<i32>, Swap> {
        let (name, schema) = (projection.name(), self.database.schema());
        let mut tx = self.database.writes().begin().await?;
        schema::lock(&mut tx, schema).await?;
        let before = live(&mut tx, name, true).await?.ok_or_else(|| moved(name))?;
        if stood(&mut tx, name, before.generation).await? != *found {
            return Err(moved(name).into());
        }
        let shards = u16::try_from(found.0.positions().count()).unwrap_or(u16::MAX);
        let fresh = schema::create(&mut tx, schema, projection, shards).await?;
        schema::index(&mut tx, schema, projection, fresh).await?;
        schema::make_live(&mut tx, schema, projection, fresh).await?;
        schema::forget_previous(&mut tx, name).await?;
        tx.commit().await?;
        let replaced = [Some(before.generation), before.previous];
        Ok(replaced.into_iter().flatten().filter(|generation| *generation != 0).collect())
    }

    async fn remove(&self, projection: &str, generation: i32) -> Result<(), StoreError> {
        let mut tx = self.database.writes().begin().await.map_err(unavailable)?;
        let schema = self.database.schema();
        schema::lock(&mut tx, schema).await.map_err(unavailable)?;
        schema::remove(&mut tx, schema, projection, generation).await.map_err(unavailable)?;
        tx.commit().await.map_err(unavailable)
    }

    /// The id of the event that the live rows of the projection `events` have at a position.
    pub(super) async fn event_of_rows(&self, at: Position) -> Result<Option<Uuid>, StoreError> {
        let mut conn = self.database.reads().acquire().await.map_err(unavailable)?;
        let generation = self.generation(&mut conn, "events").await?;
        if generation == 0 {
            return Ok(None);
        }
        let physical = physical(self.database.schema(), "events", generation);
        sqlx::query_scalar(&format!("SELECT event_id FROM {physical}.events WHERE shard = $1 AND n = $2"))
            .bind(i64::from(at.shard.0))
            .bind(super::number(at.n))
            .fetch_optional(&mut *conn)
            .await
            .map_err(unavailable)
    }
}
