//! Applying a batch in one transaction.

use std::collections::HashMap;

use projections::engine::store::{Batch, Part, Redrive, StoreError};
use sqlx::{PgConnection, Row};

use super::letters::Letters;
use super::plan::{Upsert, upserts};
use super::schema::physical;
use super::{PostgresReadStore, Target, moved, number, refused, unavailable};

impl PostgresReadStore {
    pub(super) async fn apply_batch(&self, batch: &Batch) -> Result<(), StoreError> {
        // Before the transaction, so that it holds its locks no longer than it must.
        let planned: Vec<_> =
            batch.parts.iter().map(|part| upserts(&part.changes)).collect::<Result<_, _>>()?;
        let mut tx = self.database.writes().begin().await.map_err(unavailable)?;
        let generations = self.move_checkpoints(&mut tx, &batch.parts).await?;
        for part in batch.parts.iter().filter(|part| !part.letters.is_empty()) {
            let letters = Letters { projection: part.projection, generation: generations[part.projection] };
            letters.lock(&mut tx).await?;
            letters.park(&mut tx, &part.letters).await?;
        }
        let mut statements: Vec<_> = batch
            .parts
            .iter()
            .zip(planned)
            .flat_map(|(part, upserts)| upserts.into_iter().map(|u| (part.projection, u)))
            .collect();
        // Rows that writers of other shards may want too come last, in the same order in every process.
        statements.sort_by_key(|(_, upsert)| (upsert.is_shared(), upsert.table.name));
        let mut turn = "";
        for (projection, upsert) in statements {
            let physical = physical(self.database.schema(), projection, generations[projection]);
            if upsert.is_shared() && turn != upsert.table.name {
                turn = upsert.table.name;
                take_turn(&mut tx, &physical, turn).await?;
            }
            write(&mut tx, &upsert, &physical).await?;
        }
        tx.commit().await.map_err(unavailable)
    }

    pub(super) async fn redrive_step(&self, step: &Redrive) -> Result<(), StoreError> {
        let upserts = upserts(&step.changes)?;
        let mut tx = self.database.writes().begin().await.map_err(unavailable)?;
        let generation = match &self.target {
            Target::Filling(generations) => generations.get(step.projection).copied(),
            Target::Live => sqlx::query_scalar(include_str!("lock_live.sql"))
                .bind(step.projection)
                .bind(self.database.checkpoint_channel())
                .fetch_optional(&mut *tx)
                .await
                .map_err(unavailable)?,
        };
        let generation = generation.ok_or_else(|| moved(step.projection))?;
        if matches!(self.target, Target::Live)
            && self.known(step.projection).is_none_or(|known| known.generation != generation)
        {
            return Err(moved(step.projection));
        }
        let letters = Letters { projection: step.projection, generation };
        letters.lock(&mut tx).await?;
        letters.settle(&mut tx, &step.letters).await?;
        let physical = physical(self.database.schema(), step.projection, generation);
        for upsert in upserts {
            if upsert.is_shared() {
                take_turn(&mut tx, &physical, upsert.table.name).await?;
            }
            write(&mut tx, &upsert, &physical).await?;
        }
        tx.commit().await.map_err(unavailable)
    }

    /// Moves the checkpoints of all parts, and keeps the projections' generations as they are until the end of the transaction.
    async fn move_checkpoints(
        &self,
        conn: &mut PgConnection,
        parts: &[Part],
    ) -> Result<HashMap<&'static str, i32>, StoreError> {
        let mut moves: Vec<_> =
            parts.iter().flat_map(|part| part.moves.iter().map(|m| (part.projection, *m))).collect();
        // In one order everywhere, so that two consumers wait for each other instead of blocking each other.
        moves.sort_by_key(|(projection, m)| (*projection, m.shard));
        let projections: Vec<&'static str> = moves.iter().map(|(projection, _)| *projection).collect();
        let shards: Vec<i32> = moves.iter().map(|(_, m)| i32::from(m.shard.0)).collect();
        let from: Vec<i64> = moves.iter().map(|(_, m)| number(m.from)).collect();
        let to: Vec<i64> = moves.iter().map(|(_, m)| number(m.to)).collect();
        let frames: Vec<i64> = moves.iter().map(|(_, m)| number(m.frame.number)).collect();
        let hashes: Vec<Vec<u8>> = moves.iter().map(|(_, m)| m.frame.hash.to_vec()).collect();
        let first = parts.first().map_or("", |part| part.projection);
        let mut generations = HashMap::new();
        let count: i64;
        match &self.target {
            Target::Filling(filling) => {
                for part in parts {
                    let generation = filling.get(part.projection).ok_or_else(|| moved(part.projection))?;
                    generations.insert(part.projection, *generation);
                }
                let of: Vec<i32> = projections.iter().map(|projection| generations[projection]).collect();
                count = sqlx::query_scalar(include_str!("move_filling.sql"))
                    .bind(projections)
                    .bind(of)
                    .bind(shards)
                    .bind(from)
                    .bind(to)
                    .bind(frames)
                    .bind(hashes)
                    .fetch_one(conn)
                    .await
                    .map_err(unavailable)?;
            }
            Target::Live => {
                let rows = sqlx::query(include_str!("move_live.sql"))
                    .bind(parts.iter().map(|part| part.projection).collect::<Vec<_>>())
                    .bind(projections)
                    .bind(shards)
                    .bind(from)
                    .bind(to)
                    .bind(frames)
                    .bind(hashes)
                    .bind(self.database.checkpoint_channel())
                    .fetch_all(conn)
                    .await
                    .map_err(unavailable)?;
                count = match rows.first() {
                    Some(row) => row.try_get("moved").map_err(unavailable)?,
                    None => 0,
                };
                for row in &rows {
                    let name: &str = row.try_get("name").map_err(unavailable)?;
                    let generation: i32 = row.try_get("generation").map_err(unavailable)?;
                    generations.extend(
                        parts.iter().filter(|p| p.projection == name).map(|p| (p.projection, generation)),
                    );
                }
                // Swapped since it was loaded: its positions, and what it has parked, may be others.
                let swapped = parts.iter().find(|part| {
                    let known = self.known(part.projection).map(|known| known.generation);
                    known.is_none() || generations.get(part.projection).copied() != known
                });
                if let Some(part) = swapped {
                    return Err(moved(part.projection));
                }
            }
        }
        if usize::try_from(count) == Ok(moves.len()) { Ok(generations) } else { Err(moved(first)) }
    }
}

/// Waits for the other writers of a table whose rows have several source streams: they might lock the same rows in another order.
async fn take_turn(conn: &mut PgConnection, physical: &str, table: &str) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!("rows {physical}.{table}"))
        .execute(conn)
        .await
        .map_err(unavailable)?;
    Ok(())
}

async fn write(conn: &mut PgConnection, upsert: &Upsert<'_>, physical: &str) -> Result<(), StoreError> {
    let sql = upsert.sql(physical);
    let query = upsert.parameters().into_iter().fold(sqlx::query(&sql), |query, values| values.bind(query));
    query.execute(conn).await.map_err(refused)?;
    Ok(())
}
