//! Dead letters.

use std::sync::Arc;

use domain::Timestamp;
use domain::event::RecordedEvent;
use domain::position::{Position, Shard};
use domain::stream::StreamId;
use projections::engine::store::{DeadLetter, StoreError};
use sqlx::{PgConnection, Row};

use super::{moved, number, unavailable};

/// The letters of a projection's generation.
#[derive(Clone, Copy)]
pub(super) struct Letters {
    pub(super) projection: &'static str,
    pub(super) generation: i32,
}

impl Letters {
    /// Keeps others from adding or settling letters until the end of the transaction: who parks an event because an earlier one is
    /// parked must not meet the one who settles that.
    pub(super) async fn lock(self, conn: &mut PgConnection) -> Result<(), StoreError> {
        let name = format!("letters {} {}", self.projection, self.generation);
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || $1, 0))")
            .bind(name)
            .execute(conn)
            .await
            .map_err(unavailable)?;
        Ok(())
    }

    /// The parked streams, each with the version of its first letter, and how many letters there are.
    pub(super) async fn parked(
        self,
        conn: &mut PgConnection,
    ) -> Result<(Vec<(StreamId, u64)>, u64), StoreError> {
        let query =
            sqlx::query(include_str!("select_parked.sql")).bind(self.projection).bind(self.generation);
        let (mut streams, mut letters) = (Vec::new(), 0);
        for row in query.fetch_all(conn).await.map_err(unavailable)? {
            let part = |index: usize| row.try_get::<&str, _>(index).map_err(unavailable);
            let count = |index: usize| row.try_get::<i64, _>(index).map_err(unavailable);
            streams.push((StreamId::new(part(0)?, part(1)?, part(2)?), count(3)?.unsigned_abs()));
            letters += count(4)?.unsigned_abs();
        }
        Ok((streams, letters))
    }

    /// Adds letters; the caller holds the lock.
    pub(super) async fn park(
        self,
        conn: &mut PgConnection,
        letters: &[DeadLetter],
    ) -> Result<(), StoreError> {
        let events = || letters.iter().map(|letter| &letter.event);
        let reasons: Vec<String> = letters.iter().map(|l| l.reason.replace('\0', "\u{fffd}")).collect();
        sqlx::query(include_str!("insert_letters.sql"))
            .bind(self.projection)
            .bind(self.generation)
            .bind(events().map(|e| i32::from(e.position.shard.0)).collect::<Vec<_>>())
            .bind(events().map(|e| number(e.position.n)).collect::<Vec<_>>())
            .bind(events().map(|e| e.stream.tenant()).collect::<Vec<_>>())
            .bind(events().map(|e| e.stream.kind()).collect::<Vec<_>>())
            .bind(events().map(|e| e.stream.id()).collect::<Vec<_>>())
            .bind(events().map(|e| number(e.version)).collect::<Vec<_>>())
            .bind(events().map(|e| e.encode()).collect::<Vec<_>>())
            .bind(reasons)
            .bind(letters.iter().map(|l| l.parked_at).collect::<Vec<_>>())
            .execute(&mut *conn)
            .await
            .map_err(unavailable)?;
        let following: Vec<&RecordedEvent> =
            letters.iter().filter(|l| l.follows).map(|l| &*l.event).collect();
        if following.is_empty() {
            return Ok(());
        }
        let orphans: i64 = sqlx::query_scalar(include_str!("count_orphans.sql"))
            .bind(self.projection)
            .bind(self.generation)
            .bind(following.iter().map(|e| e.stream.tenant()).collect::<Vec<_>>())
            .bind(following.iter().map(|e| e.stream.kind()).collect::<Vec<_>>())
            .bind(following.iter().map(|e| e.stream.id()).collect::<Vec<_>>())
            .bind(following.iter().map(|e| number(e.version)).collect::<Vec<_>>())
            .fetch_one(conn)
            .await
            .map_err(unavailable)?;
        if orphans == 0 { Ok(()) } else { Err(moved(self.projection)) }
    }

    /// The oldest letters of a stream.
    pub(super) async fn select(
        self,
        conn: &mut PgConnection,
        stream: &StreamId,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let rows = sqlx::query(include_str!("select_letters.sql"))
            .bind(self.projection)
            .bind(self.generation)
            .bind(stream.tenant())
            .bind(stream.kind())
            .bind(stream.id())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(conn)
            .await
            .map_err(unavailable)?;
        let mut letters = Vec::with_capacity(rows.len());
        for row in &rows {
            let shard: i32 = row.try_get(0).map_err(unavailable)?;
            let n: i64 = row.try_get(1).map_err(unavailable)?;
            let position = Position { shard: Shard(u16::try_from(shard).unwrap_or(0)), n: n.unsigned_abs() };
            let event = RecordedEvent::decode(row.try_get(2).map_err(unavailable)?, position)
                .map_err(|e| StoreError::Unavailable(format!("the dead letter {position}: {e}")))?;
            letters.push(DeadLetter {
                event: Arc::new(event),
                reason: row.try_get(3).map_err(unavailable)?,
                parked_at: row.try_get::<Timestamp, _>(4).map_err(unavailable)?,
                follows: !letters.is_empty(),
            });
        }
        Ok(letters)
    }

    /// Removes letters, each the oldest one of its stream by then; the caller holds the lock.
    pub(super) async fn settle(
        self,
        conn: &mut PgConnection,
        positions: &[Position],
    ) -> Result<(), StoreError> {
        for position in positions {
            let deleted = sqlx::query(include_str!("delete_letter.sql"))
                .bind(self.projection)
                .bind(self.generation)
                .bind(i32::from(position.shard.0))
                .bind(number(position.n))
                .execute(&mut *conn)
                .await
                .map_err(unavailable)?;
            if deleted.rows_affected() != 1 {
                return Err(moved(self.projection));
            }
        }
        Ok(())
    }

    /// Removes all letters.
    pub(super) async fn clear(self, conn: &mut PgConnection) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM dead_letters WHERE projection = $1 AND generation = $2")
            .bind(self.projection)
            .bind(self.generation)
            .execute(conn)
            .await
            .map_err(unavailable)?;
        Ok(())
    }
}
