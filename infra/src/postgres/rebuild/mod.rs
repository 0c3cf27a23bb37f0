//! Rebuild beside the live read models, while servers run.
//!
//! A new generation of a projection's tables is filled from the log, all shards in parallel, never past what the live one has seen.
//! Then the live one is held for a moment, the new one is brought to exactly its positions, and a snapshot is taken in which both are
//! compared, row by row, while the live one goes on. At last it is held again, the new one catches up, and the views are swapped in
//! that transaction. The old generation stays for a [`rollback`]. Runners notice a swap by themselves and go on from the checkpoints of
//! the generation that is live then. A crash leaves at most an unfinished generation, which the next rebuild removes.

mod compare;
mod indexes;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::merkle::Hash;
use domain::ports::log::LogReader;
use domain::position::Seen;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use projections::engine::model::Projection;
use projections::engine::store::{DeadLetters as _, RowStore as _, StoreError};
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

use self::compare::{Differences, differences};
use super::Database;
use super::read_store::schema::{self, Live, physical};
use super::read_store::{PostgresReadStore, digest, unavailable, unhurried};
use crate::feed::find_heads;
use crate::rebuild::fill::Fill;
use crate::rebuild::{Phase, RebuildError, RebuildProgress, RebuildReport};

/// The live one isn't held before this few events are missing.
const CLOSE: u64 = 2_000;
/// After so many rounds it is held anyway: it may be faster than the rebuild.
const ROUNDS: usize = 10;
/// Projections that are indexed, compared and swapped at the same time.
const AT_ONCE: usize = 3;
/// How often a swap is tried, and the first pause between two attempts; the longest is 20 times that.
const SWAP_ATTEMPTS: u32 = 20;
const SWAP_PAUSE: Duration = Duration::from_millis(50);
/// How long the transaction that holds the live one may wait for the last events.
const HELD: &str = "SET LOCAL idle_in_transaction_session_timeout = '60s'";

/// Rebuilds the named row projections, or all when none is named, from the log.
///
/// # Errors
/// [`RebuildError`]; the live projections are as they were, but for those already swapped.
pub async fn rebuild(
    database: &Database,
    mut rows: Vec<Arc<dyn Projection>>,
    wanted: &[String],
    log: Arc<dyn LogReader>,
    progress: &mut (dyn FnMut(RebuildProgress) + Send),
) -> Result<Vec<RebuildReport>, RebuildError> {
    if let Some(name) = wanted.iter().find(|name| !rows.iter().any(|p| p.name() == name.as_str())) {
        return Err(unknown(&rows, name));
    }
    rows.retain(|p| wanted.is_empty() || wanted.iter().any(|w| w == p.name()));
    PostgresReadStore::new(database.clone()).migrate().await?;
    let only_one = OnlyOne::take(database).await?;
    let work = RowsRebuild { database: database.clone(), unsynced: database.unsynced()?, log };
    let reports = work.run(&rows, progress).await;
    work.unsynced.writes().close().await;
    only_one.release().await;
    reports
}

/// Lets the views show the previous generation again, brought up to date before. Doing it twice undoes it.
///
/// A previous generation of another version than this program's is shown as it is: a program of that version brings it up to date, and
/// this one's servers can't write it.
///
/// # Errors
/// [`RebuildError::NoPrevious`] when there is none.
pub async fn rollback(
    database: &Database,
    rows: &[Arc<dyn Projection>],
    projection: &str,
    log: Arc<dyn LogReader>,
) -> Result<(), RebuildError> {
    let found = rows.iter().find(|p| p.name() == projection);
    let wanted = found.ok_or_else(|| unknown(rows, projection))?;
    PostgresReadStore::new(database.clone()).migrate().await?;
    let only_one = OnlyOne::take(database).await?;
    let work = RowsRebuild { database: database.clone(), unsynced: database.unsynced()?, log };
    let done = work.roll_back(wanted).await;
    work.unsynced.writes().close().await;
    only_one.release().await;
    done
}

fn unknown(rows: &[Arc<dyn Projection>], name: &str) -> RebuildError {
    let all: Vec<&str> = rows.iter().map(|p| p.name()).collect();
    RebuildError::UnknownProjection(name.to_owned(), all.join(", "))
}

/// Fills this program's version of projections beside the live rows where these are of an older one, swaps it in when it has caught
/// up, and makes the secondary indexes that the live rows lack. Processes of the older version keep reading and feeding the live rows
/// until then. What was begun goes on after a failure, in this process or another one.
///
/// # Errors
/// [`RebuildError`]: [`RebuildError::Busy`] while another process does it, [`RebuildError::InTheWay`] while somebody reads the views for
/// long. Repeat later.
pub async fn renew(
    database: &Database,
    rows: &[Arc<dyn Projection>],
    log: Arc<dyn LogReader>,
) -> Result<(), RebuildError> {
    let only_one = OnlyOne::take(database).await?;
    let work = RowsRebuild { database: database.clone(), unsynced: database.unsynced()?, log };
    let mut done = work.renew(rows).await;
    if done.is_ok() {
        done = indexes::bring_up_to_date(database, rows).await.map_err(RebuildError::Store);
    }
    work.unsynced.writes().close().await;
    only_one.release().await;
    done
}

/// Whether the live rows are of a version before the projection's, or of the same one in other tables. Those of a later version stay:
/// its programs have taken over.
fn is_older(live: &Live, projection: &dyn Projection) -> bool {
    match live.version.cmp(&projection.version()) {
        Ordering::Less => true,
        Ordering::Equal => live.shape != schema::shape(projection),
        Ordering::Greater => false,
    }
}

/// One rebuild at a time: a lock of a session, which ends with its connection.
pub(crate) struct OnlyOne(PgConnection);

impl OnlyOne {
    pub(crate) async fn take(database: &Database) -> Result<Self, RebuildError> {
        let conn = database.writes().acquire().await.map_err(unavailable)?;
        let mut conn = conn.detach();
        let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))")
            .bind(format!("tillstream rebuild {}", database.schema()))
            .fetch_one(&mut conn)
            .await
            .map_err(unavailable)?;
        if taken { Ok(Self(conn)) } else { Err(RebuildError::Busy) }
    }

    pub(crate) async fn release(mut self) {
        // The server notices the connection's end a moment later, and the next one shall not be refused by then.
        let unlocked = sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut self.0).await.map(|_| ());
        if let Err(error) = unlocked.and(self.0.close().await) {
            tracing::debug!(%error, "the connection that held the rebuild's lock ended first");
        }
    }
}

struct RowsRebuild {
    database: Database,
    /// For the generation that is lost after a crash anyway.
    unsynced: Database,
    log: Arc<dyn LogReader>,
}

/// A projection's new generation.
struct Fresh {
    projection: Arc<dyn Projection>,
    generation: i32,
    /// The live one is of the same version: it can be compared, and the new one must not get ahead of it.
    comparable: bool,
}

impl RowsRebuild {
    async fn run(
        &self,
        rows: &[Arc<dyn Projection>],
        progress: &mut (dyn FnMut(RebuildProgress) + Send),
    ) -> Result<Vec<RebuildReport>, RebuildError> {
        let heads = Seen::up_to(&find_heads(self.log.as_ref()).await?);
        let mut fresh = Vec::new();
        for projection in rows {
            self.remove_leftovers(projection.name()).await?;
            fresh.push(self.create(projection).await?);
        }
        let live = PostgresReadStore::new(self.database.clone());
        let comparable: Vec<_> =
            fresh.iter().filter(|f| f.comparable).map(|f| Arc::clone(&f.projection)).collect();
        Fill::new(Arc::new(live), &comparable, &self.log).run(&heads, Phase::CatchUp, progress).await?;
        let store = self.store(&fresh);
        Fill::new(store, rows, &self.log).run(&heads, Phase::Rows, progress).await?;
        progress(RebuildProgress { phase: Phase::Swap, done: 0, total: rows.len() as u64 });
        // One that holds the live rows must find a connection though the others compare.
        let at_once = AT_ONCE.min(self.database.url().connections() as usize);
        let finishing: Vec<_> = fresh.iter().map(|one| self.finish(one).boxed()).collect();
        let mut finished = futures::stream::iter(finishing).buffered(at_once);
        let mut reports = Vec::new();
        while let Some(report) = finished.try_next().await? {
            reports.push(report);
            let done = reports.len() as u64;
            progress(RebuildProgress { phase: Phase::Swap, done, total: rows.len() as u64 });
        }
        Ok(reports)
    }

    fn store(&self, fresh: &[Fresh]) -> Arc<PostgresReadStore> {
        let generations: HashMap<_, _> = fresh.iter().map(|f| (f.projection.name(), f.generation)).collect();
        Arc::new(PostgresReadStore::filling(self.unsynced.clone(), generations))
    }

    /// Removes generations that neither are live nor were so last.
    async fn remove_leftovers(&self, projection: &str) -> Result<(), RebuildError> {
        let mut tx = self.locked().await?;
        let live = schema::live(&mut tx, projection, false).await.map_err(unavailable)?;
        let kept = live.map_or([0, 0], |live| [live.generation, live.previous.unwrap_or(0)]);
        let leftovers: Vec<i32> = sqlx::query_scalar(
            "SELECT generation FROM generations WHERE projection = $1 AND generation <> ALL ($2)",
        )
        .bind(projection)
        .bind(kept.to_vec())
        .fetch_all(&mut *tx)
        .await
        .map_err(unavailable)?;
        for generation in leftovers {
            let schema = self.database.schema();
            schema::remove(&mut tx, schema, projection, generation).await.map_err(unavailable)?;
        }
        tx.commit().await.map_err(unavailable)?;
        Ok(())
    }

    async fn create(&self, projection: &Arc<dyn Projection>) -> Result<Fresh, RebuildError> {
        let mut tx = self.locked().await?;
        let (schema, shards) = (self.database.schema(), self.log.store().shards);
        let live = schema::live(&mut tx, projection.name(), false).await.map_err(unavailable)?;
        let comparable = match live {
            Some(live) => {
                schema::fits(&mut tx, projection.as_ref(), live.generation).await.map_err(unavailable)?
            }
            None => false,
        };
        let generation =
            schema::create(&mut tx, schema, projection.as_ref(), shards).await.map_err(unavailable)?;
        tx.commit().await.map_err(unavailable)?;
        Ok(Fresh { projection: Arc::clone(projection), generation, comparable })
    }

    async fn locked(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        let mut tx = self.database.writes().begin().await.map_err(unavailable)?;
        schema::lock(&mut tx, self.database.schema()).await.map_err(unavailable)?;
        Ok(tx)
    }

    /// Secondary indexes are made when the rows are there, which is faster.
    async fn index(&self, fresh: &Fresh) -> Result<(), RebuildError> {
        let mut tx = self.unsynced.writes().begin().await.map_err(unavailable)?;
        let (schema, projection) = (self.database.schema(), fresh.projection.as_ref());
        schema::index(&mut tx, schema, projection, fresh.generation).await.map_err(unavailable)?;
        schema::analyze(&mut tx, schema, projection, fresh.generation).await.map_err(unavailable)?;
        tx.commit().await.map_err(unavailable)?;
        Ok(())
    }

    /// Makes the indexes, compares with the live generation and swaps.
    async fn finish(&self, fresh: &Fresh) -> Result<RebuildReport, RebuildError> {
        let name = fresh.projection.name();
        self.index(fresh).await?;
        self.approach(fresh).await?;
        let (held, live) = self.hold(fresh).await?;
        let mut both = unhurried(self.database.reads()).await?;
        // A snapshot is taken by the first statement.
        let store = self.store(std::slice::from_ref(fresh));
        let at = store.seen(&mut both, name, fresh.generation).await?;
        held.rollback().await.map_err(unavailable)?;
        let schema = self.database.schema();
        let built = physical(schema, name, fresh.generation);
        let built_digest: Hash =
            digest::digest(&mut both, &built, fresh.projection.as_ref()).await.map_err(unavailable)?;
        let mut live_digest = None;
        let mut found = Differences::default();
        if let Some(live) = live.filter(|_| fresh.comparable) {
            let old = physical(schema, name, live.generation);
            found =
                differences(&mut both, fresh.projection.as_ref(), &old, &built).await.map_err(unavailable)?;
            live_digest = Some(if found.count() == 0 {
                built_digest
            } else {
                digest::digest(&mut both, &old, fresh.projection.as_ref()).await.map_err(unavailable)?
            });
        } else {
            found.rows =
                compare::rows(&mut both, fresh.projection.as_ref(), &built).await.map_err(unavailable)?;
        }
        both.rollback().await.map_err(unavailable)?;
        let (_, parked) = store.parked(name).await?;
        self.swap(fresh).await?;
        Ok(RebuildReport {
            projection: name,
            events: at.positions().map(|p| p.n).sum(),
            parked,
            rows: found.rows,
            differing_rows: found.count(),
            only_live: found.only_live,
            only_built: found.only_built,
            examples: found.examples,
            digest_before: live_digest.unwrap_or([0; 32]),
            digest_after: built_digest,
        })
    }

    async fn swap(&self, fresh: &Fresh) -> Result<(), RebuildError> {
        let name = fresh.projection.name();
        let replaced = self.take_the_place(fresh, true).await?;
        tracing::info!(projection = name, generation = fresh.generation, "swapped in what was rebuilt");
        if replaced.is_some_and(|live| live.previous.is_some()) {
            // A long query may still read them; the next rebuild removes them then.
            if let Err(error) = self.remove_leftovers(name).await {
                tracing::warn!(projection = name, %error, "can't remove the tables of an older generation yet");
            }
        }
        Ok(())
    }

    /// Lets the views show a generation, caught up before if it is of this program's version. A forgotten transaction that has read a
    /// view keeps it from being replaced: each attempt holds up appliers and queries for a moment only, and lets them go on in between.
    async fn take_the_place(&self, fresh: &Fresh, ours: bool) -> Result<Option<Live>, RebuildError> {
        let (schema, name) = (self.database.schema(), fresh.projection.name());
        let mut in_the_way = Vec::new();
        for attempt in 1..=SWAP_ATTEMPTS {
            let (mut held, live) = match ours {
                true => {
                    self.approach(fresh).await?;
                    self.hold(fresh).await?
                }
                false => (self.locked().await?, None),
            };
            match schema::make_live(&mut held, schema, fresh.projection.as_ref(), fresh.generation).await {
                Ok(()) => {
                    held.commit().await.map_err(unavailable)?;
                    return Ok(live);
                }
                Err(error) if schema::is_lock_timeout(&error) => {
                    held.rollback().await.map_err(unavailable)?;
                    let mut conn = self.database.reads().acquire().await.map_err(unavailable)?;
                    in_the_way = schema::readers(&mut conn, schema).await.map_err(unavailable)?;
                    tracing::debug!(projection = name, attempt, ?in_the_way, "the views are being read");
                    tokio::time::sleep(SWAP_PAUSE * attempt.min(20)).await;
                }
                Err(error) => return Err(unavailable(error).into()),
            }
        }
        Err(RebuildError::InTheWay(name, in_the_way.join(", ")))
    }

    async fn roll_back(&self, projection: &Arc<dyn Projection>) -> Result<(), RebuildError> {
        let name = projection.name();
        let mut conn = self.database.reads().acquire().await.map_err(unavailable)?;
        let live = schema::live(&mut conn, name, false).await.map_err(unavailable)?;
        let previous = live.and_then(|live| live.previous);
        let generation = previous.ok_or_else(|| RebuildError::NoPrevious(name.to_owned()))?;
        let ours = schema::fits(&mut conn, projection.as_ref(), generation).await.map_err(unavailable)?;
        drop(conn);
        let fresh = Fresh { projection: Arc::clone(projection), generation, comparable: true };
        self.take_the_place(&fresh, ours).await?;
        tracing::info!(projection = name, generation, "swapped the previous generation in");
        Ok(())
    }

    /// Fills this program's version of projections beside the live rows of an older one, and swaps each in when it has caught up.
    async fn renew(&self, rows: &[Arc<dyn Projection>]) -> Result<(), RebuildError> {
        let mut fresh = Vec::new();
        for projection in rows {
            if let Some(one) = self.outdated(projection).await? {
                tracing::info!(
                    projection = projection.name(),
                    version = projection.version(),
                    generation = one.generation,
                    "filling this version beside the live rows"
                );
                fresh.push(one);
            }
        }
        if fresh.is_empty() {
            return Ok(());
        }
        let filled: Vec<_> = fresh.iter().map(|one| Arc::clone(&one.projection)).collect();
        let heads = Seen::up_to(&find_heads(self.log.as_ref()).await?);
        Fill::new(self.store(&fresh), &filled, &self.log).run(&heads, Phase::Rows, &mut |_| {}).await?;
        for one in &fresh {
            self.index(one).await?;
            self.swap(one).await?;
        }
        Ok(())
    }

    /// What is to take the place of live rows of an older version: a generation that was live, one that somebody began to fill, or a
    /// new one.
    async fn outdated(&self, projection: &Arc<dyn Projection>) -> Result<Option<Fresh>, RebuildError> {
        let name = projection.name();
        let mut conn = self.database.reads().acquire().await.map_err(unavailable)?;
        let live = schema::live(&mut conn, name, false).await.map_err(unavailable)?;
        let Some(live) = live.filter(|live| is_older(live, projection.as_ref())) else { return Ok(None) };
        let begun: Vec<i32> = sqlx::query_scalar(include_str!("select_others.sql"))
            .bind(name)
            .bind(live.generation)
            .fetch_all(&mut *conn)
            .await
            .map_err(unavailable)?;
        for generation in begun {
            if schema::fits(&mut conn, projection.as_ref(), generation).await.map_err(unavailable)? {
                let projection = Arc::clone(projection);
                return Ok(Some(Fresh { projection, generation, comparable: false }));
            }
        }
        drop(conn);
        self.create(projection).await.map(Some)
    }

    /// Brings the new generation close to the live one, without holding that up.
    async fn approach(&self, fresh: &Fresh) -> Result<(), RebuildError> {
        let only = std::slice::from_ref(&fresh.projection);
        let store = self.store(std::slice::from_ref(fresh));
        for _ in 0..ROUNDS {
            let target = self.target(fresh).await?;
            let has = store.load(fresh.projection.name()).await?.seen;
            let missing: u64 = target.positions().map(|p| p.n.saturating_sub(has.last(p.shard))).sum();
            if missing <= CLOSE {
                break;
            }
            Fill::new(store.clone(), only, &self.log).run(&target, Phase::CatchUp, &mut |_| {}).await?;
        }
        Ok(())
    }

    /// Where the new generation should come to for now.
    async fn target(&self, fresh: &Fresh) -> Result<Seen, RebuildError> {
        if !fresh.comparable {
            return Ok(Seen::up_to(&find_heads(self.log.as_ref()).await?));
        }
        Ok(PostgresReadStore::new(self.database.clone()).load(fresh.projection.name()).await?.seen)
    }

    /// Keeps the live generation where it is until the transaction ends, and brings the new one there (or further, if it already is).
    async fn hold(
        &self,
        fresh: &Fresh,
    ) -> Result<(Transaction<'static, Postgres>, Option<Live>), RebuildError> {
        let name = fresh.projection.name();
        let mut tx = self.locked().await?;
        sqlx::query(HELD).execute(&mut *tx).await.map_err(unavailable)?;
        let live =
            schema::live(&mut tx, name, true).await.map_err(unavailable)?.filter(|l| l.generation != 0);
        if let Some(live) = &live {
            let store = self.store(std::slice::from_ref(fresh));
            let target = store.seen(&mut tx, name, live.generation).await?;
            let only = std::slice::from_ref(&fresh.projection);
            Fill::new(store, only, &self.log).run(&target, Phase::CatchUp, &mut |_| {}).await?;
        }
        Ok((tx, live))
    }
}
