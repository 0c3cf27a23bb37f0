//! Writing derived rows and checkpoints.
//!
//! Rows go out in unlogged batches of bounded size, some at a time; the checkpoint follows when all of them were acknowledged (P6).

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, PoisonError};

use domain::frame::{DecidedFrame, FrameHeader, FrameId};
use domain::ports::log::{LogError, Progress, StoredSnapshot};
use domain::position::Shard;
use domain::stream::StreamId;
use futures::{StreamExt, TryStreamExt};
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use uuid::Uuid;

use super::CassandraLogInner;
use super::event_rows::{EventRow, Partition};
use super::statements::{MAX_NUMBER, stamp, stamp_before};
use crate::cassandra::connect::{corrupt, unavailable};

/// Streams whose last version is remembered, so that their next rows need no look at what is there.
pub(super) const LAST_VERSIONS: NonZeroUsize = NonZeroUsize::new(1 << 16).expect("not zero");
/// A batch takes no further row beyond this size, about. Cassandra refuses batches of 50 KiB by default.
const BATCH_BYTES: usize = 24 << 10;
/// And no more rows than this.
const BATCH_ROWS: usize = 64;
/// Requests under way for one call, at most.
const AT_ONCE: usize = 32;
/// One more request is under way for every so many: rows that are few leave the servers to the frames.
const REQUESTS_EACH: usize = 16;

/// Rows that are looked at by one request; ScyllaDB takes at most 100 by default.
const CHECKED_AT_ONCE: usize = 64;

/// Where the log has an event: the frame, and the event's index in it.
type Place = (u64, u64);

/// The key of a row within its partition: the stream's type and id, and the version.
type RowKey<'a> = (&'a str, &'a str, i64);

/// A row of `shard_progress`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ProgressRow {
    pub(super) generation: u64,
    pub(super) derived_through: u64,
    published_through: u64,
    pub(super) tail_hint: u64,
}

impl ProgressRow {
    pub(super) fn progress(self) -> Progress {
        Progress {
            derived_through: self.derived_through,
            published_through: self.published_through,
            tail_hint: self.tail_hint,
        }
    }
}

impl CassandraLogInner {
    pub(super) async fn progress(&self, shard: Shard) -> Result<ProgressRow, LogError> {
        type Columns = (Option<i64>, Option<i64>, Option<i64>, Option<i64>);
        let what = || format!("the progress of shard {shard}");
        let values = (i32::from(shard.0),);
        let rows = self.session.execute_unpaged(&self.statements.select_progress, values).await;
        let rows = rows.map_err(unavailable)?.into_rows_result().map_err(|e| corrupt(what(), e))?;
        let row = rows.maybe_first_row::<Columns>().map_err(|e| corrupt(what(), e))?;
        let number = |column: Option<i64>| column.map_or(0, |n| n as u64);
        Ok(row.map_or_else(ProgressRow::default, |(generation, derived, published, hint)| ProgressRow {
            generation: number(generation),
            derived_through: number(derived),
            published_through: number(published),
            tail_hint: number(hint),
        }))
    }

    /// Which store's log derived rows were made from, and their last frame; `None` when an older program didn't tell.
    pub(super) async fn mark(&self, shard: Shard) -> Result<Option<(Uuid, FrameId)>, LogError> {
        type Columns = (Option<Uuid>, Option<i64>, Option<Vec<u8>>);
        let what = || format!("the mark of shard {shard}");
        let rows = self.session.execute_unpaged(&self.statements.select_mark, (i32::from(shard.0),)).await;
        let rows = rows.map_err(unavailable)?.into_rows_result().map_err(|e| corrupt(what(), e))?;
        let row = rows.maybe_first_row::<Columns>().map_err(|e| corrupt(what(), e))?;
        let Some((Some(store), Some(frame), Some(hash))) = row else { return Ok(None) };
        Ok(hash.try_into().ok().map(|hash| (store, FrameId { number: frame as u64, hash })))
    }

    pub(super) async fn write_published(&self, shard: Shard, frame: u64) -> Result<(), LogError> {
        self.shard(shard)?;
        let values = (stamp(0, frame), frame as i64, i32::from(shard.0));
        self.session
            .execute_unpaged(&self.statements.advance_published, values)
            .await
            .map_err(unavailable)?;
        Ok(())
    }

    pub(super) async fn write_derived(
        &self,
        shard: Shard,
        frames: &[Arc<DecidedFrame>],
    ) -> Result<(), LogError> {
        self.shard(shard)?;
        // Read every time: derived rows may have been dropped, or written by another owner.
        let progress = self.progress(shard).await?;
        let frames = following(shard, progress.derived_through, frames)?;
        let ends = self.check_versions(shard, &frames).await?;
        self.write_rows(progress.generation, shard, &frames).await?;
        if let Some(last) = frames.last() {
            self.advance(progress.generation, last).await?;
            // Rows that were dropped meanwhile hide these: nobody may forget what they held.
            let now = self.progress(shard).await?;
            if now.generation != progress.generation || now.derived_through < last.header.slot.frame {
                let reason = "derived rows were dropped while they were written";
                return Err(LogError::Unavailable(reason.to_owned()));
            }
        }
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        for (stream, version) in ends {
            versions.put(stream, version);
        }
        Ok(())
    }

    pub(super) async fn write_snapshots(
        &self,
        shard: Shard,
        snapshots: &[(StreamId, StoredSnapshot)],
    ) -> Result<(), LogError> {
        self.shard(shard)?;
        if let Some((stream, _)) = snapshots.iter().find(|(of, _)| of.shard(self.store.shards) != shard) {
            return Err(corrupt(stream, format!("its snapshot came with shard {shard}")));
        }
        let generation = self.progress(shard).await?.generation;
        for (stream, snapshot) in snapshots {
            self.write_snapshot(generation, stream, snapshot).await?;
        }
        Ok(())
    }

    /// Refuses frames whose events would take the place of others: an owner's fault, which derived rows must not hide. Answers the
    /// last version of each stream.
    async fn check_versions(
        &self,
        shard: Shard,
        frames: &[&DecidedFrame],
    ) -> Result<Vec<(StreamId, u64)>, LogError> {
        let mut ends: HashMap<&StreamId, (u64, u64)> = HashMap::new();
        let mut rows = Vec::new();
        for frame in frames {
            for (index, event) in (0..).zip(&frame.events) {
                let (stream, version) = (&event.stream, event.version);
                let (_, last) = ends.entry(stream).or_insert((version, version.saturating_sub(1)));
                if *last + 1 != version || version > MAX_NUMBER {
                    let what = format!("version {version} of {stream}");
                    return Err(corrupt(what, "it doesn't follow the one before"));
                }
                *last = version;
                rows.push((stream, version, (frame.header.slot.frame, index)));
            }
        }
        {
            let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
            // Rows that follow those that this process wrote take nobody's place.
            let mut follows =
                |first: u64, of: &StreamId| versions.get(of).is_some_and(|last| last + 1 == first);
            let known: HashSet<&StreamId> =
                ends.iter().filter(|(of, (first, _))| follows(*first, of)).map(|(of, _)| *of).collect();
            rows.retain(|(stream, ..)| !known.contains(stream));
        }
        let mut partitions: HashMap<Partition<'_>, Vec<(RowKey<'_>, Place)>> = HashMap::new();
        for (stream, version, place) in rows {
            let key = (stream.kind(), stream.id(), version as i64);
            partitions.entry(Partition::of(stream, version)).or_default().push((key, place));
        }
        let mut looks = Vec::new();
        for (partition, rows) in &partitions {
            looks.extend(rows.chunks(CHECKED_AT_ONCE).map(|rows| self.check_places(shard, partition, rows)));
        }
        futures::stream::iter(looks).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        Ok(ends.into_iter().map(|(stream, (_, last))| (stream.clone(), last)).collect())
    }

    /// Compares rows that are there with those to be written.
    async fn check_places(
        &self,
        shard: Shard,
        partition: &Partition<'_>,
        rows: &[(RowKey<'_>, Place)],
    ) -> Result<(), LogError> {
        let Partition { tenant, prefix, bucket } = *partition;
        let keys: Vec<RowKey<'_>> = rows.iter().map(|(key, _)| *key).collect();
        let values = (i32::from(shard.0), tenant, prefix, bucket, keys);
        let what = || format!("events of streams {prefix} in shard {shard}");
        let found = self.session.execute_unpaged(&self.statements.select_event_places, values).await;
        let found = found.map_err(unavailable)?.into_rows_result().map_err(|e| corrupt(what(), e))?;
        for row in found.rows::<(&str, &str, i64, i64, i32)>().map_err(|e| corrupt(what(), e))? {
            let (kind, id, version, frame, event) = row.map_err(|e| corrupt(what(), e))?;
            let Some((_, (due, index))) = rows.iter().find(|(key, _)| *key == (kind, id, version)) else {
                continue;
            };
            if (frame as u64, event as u64) != (*due, *index) {
                let reason = format!(
                    "its row says event {event} of frame {frame}, the log says event {index} of frame {due}"
                );
                let stream = StreamId::new(tenant, kind, id);
                return Err(corrupt(format!("version {version} of {stream}"), reason));
            }
        }
        Ok(())
    }

    async fn write_rows(
        &self,
        generation: u64,
        shard: Shard,
        frames: &[&DecidedFrame],
    ) -> Result<(), LogError> {
        let statements = &self.statements;
        let rows_stamp = stamp(generation, 1);
        let (mut events, mut results) = (Vec::new(), Vec::new());
        for frame in frames {
            for (index, event) in (0..).zip(&frame.events) {
                let row = EventRow::new(shard, frame.header.slot.frame, index, event, rows_stamp)?;
                events.push((200 + row.payload.len() + row.metadata.len(), row));
            }
            for (index, command) in frame.repeatable() {
                let position = answered_position(&frame.header, command.first_event, command.events);
                results.push((
                    120 + command.answer.len(),
                    (
                        i32::from(shard.0),
                        command.id.0,
                        frame.header.slot.frame as i64,
                        index as i32,
                        position as i64,
                        command.body_hash.as_slice(),
                        command.first_event as i64,
                        command.events as i64,
                        command.answer.as_slice(),
                        rows_stamp,
                    ),
                ));
            }
        }
        // Rows of a partition in one batch are one write to the servers.
        events.sort_by(|(_, one), (_, other)| one.key().cmp(&other.key()));
        self.insert_all(&statements.insert_event, events).await?;
        self.insert_all(&statements.insert_command_result, results).await
    }

    /// Executes one statement for every row, each given with its size in bytes.
    async fn insert_all<R: SerializeRow + Send + Sync>(
        &self,
        statement: &PreparedStatement,
        rows: Vec<(usize, R)>,
    ) -> Result<(), LogError> {
        let requests = batches(rows).into_iter().map(|mut rows| async move {
            let outcome = if rows.len() == 1 {
                self.session.execute_unpaged(statement, &rows[0]).await
            } else {
                let mut batch = Batch::new(BatchType::Unlogged);
                batch.set_is_idempotent(true);
                rows.iter().for_each(|_| batch.append_statement(statement.clone()));
                self.session.batch(&batch, &rows).await
            };
            rows.clear();
            outcome.map(drop).map_err(unavailable)
        });
        let at_once = (requests.len() / REQUESTS_EACH).clamp(1, AT_ONCE);
        futures::stream::iter(requests).buffer_unordered(at_once).try_collect().await
    }

    /// Moves `derived_through` and `tail_hint`, which are one row, together.
    async fn advance(&self, generation: u64, last: &DecidedFrame) -> Result<(), LogError> {
        let (store, hash, last) = (self.store.id, last.hash.to_vec(), last.header.slot);
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_is_idempotent(true);
        batch.append_statement(self.statements.advance_derived.clone());
        batch.append_statement(self.statements.advance_tail_hint.clone());
        batch.append_statement(self.statements.mark_derived.clone());
        let (frame, shard) = (last.frame as i64, i32::from(last.shard.0));
        let derived = stamp(generation, last.frame);
        let values = (
            (derived, frame, shard),
            (stamp(0, last.frame), frame, shard),
            (derived, store, frame, hash, shard),
        );
        self.session.batch(&batch, values).await.map_err(unavailable)?;
        Ok(())
    }

    /// Begins a new generation, and deletes the rows of those before. When this is cut short, rows that are left are written
    /// over by the same ones.
    pub(super) async fn drop_derived(&self, shard: Shard) -> Result<(), LogError> {
        self.shard(shard)?;
        let generation = self.progress(shard).await?.generation + 1;
        let (key, statements) = (i32::from(shard.0), &self.statements);
        let values = (stamp(generation, 0), generation as i64, key);
        self.session.execute_unpaged(&statements.reset_derived, values).await.map_err(unavailable)?;
        let before = stamp_before(generation);
        self.delete_all(
            &statements.scan_event_partitions,
            &statements.delete_events,
            |row: (i32, String, String, i64)| (row.0 == key).then_some((before, row.0, row.1, row.2, row.3)),
        )
        .await?;
        self.delete_all(
            &statements.scan_snapshot_partitions,
            &statements.delete_snapshots,
            |row: (String, String, String)| {
                let mine = StreamId::new(&row.0, &row.1, &row.2).shard(self.store.shards) == shard;
                mine.then_some((before, row.0, row.1, row.2))
            },
        )
        .await?;
        self.delete_all(
            &statements.scan_command_partitions,
            &statements.delete_command_results,
            |row: (i32, Uuid)| (row.0 == key).then_some((before, row.0, row.1)),
        )
        .await?;
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    /// Deletes the partitions that `select` picks from a scan of the table's partition keys.
    async fn delete_all<K, D>(
        &self,
        scan: &PreparedStatement,
        delete: &PreparedStatement,
        select: impl Fn(K) -> Option<D> + Send,
    ) -> Result<(), LogError>
    where
        K: for<'a, 'b> scylla::deserialize::row::DeserializeRow<'a, 'b> + Send + 'static,
        D: SerializeRow + Send + Sync,
    {
        let pager = self.session.execute_iter(scan.clone(), &[]).await.map_err(unavailable)?;
        let keys = pager.rows_stream::<K>().map_err(unavailable)?;
        keys.map_err(unavailable)
            .try_filter_map(|key| std::future::ready(Ok(select(key))))
            .try_for_each_concurrent(AT_ONCE, |values| async move {
                self.session.execute_unpaged(delete, values).await.map(drop).map_err(unavailable)
            })
            .await
    }
}

/// The frames after `through`, which must follow it and each other in one shard.
fn following(
    shard: Shard,
    through: u64,
    frames: &[Arc<DecidedFrame>],
) -> Result<Vec<&DecidedFrame>, LogError> {
    let (mut next, mut following) = (through + 1, Vec::with_capacity(frames.len()));
    for frame in frames {
        let slot = frame.header.slot;
        if slot.shard != shard {
            return Err(corrupt(slot, format!("it came with derived rows of shard {shard}")));
        }
        if slot.frame < next {
            continue;
        }
        if slot.frame != next {
            return Err(corrupt(slot, format!("derived rows end at frame {}: a hole", next - 1)));
        }
        following.push(&**frame);
        next += 1;
    }
    Ok(following)
}

/// Puts rows together until they reach the size of a batch.
fn batches<R>(rows: Vec<(usize, R)>) -> Vec<Vec<R>> {
    let (mut batches, mut batch, mut size) = (Vec::new(), Vec::new(), 0);
    for (bytes, row) in rows {
        if !batch.is_empty() && (size + bytes > BATCH_BYTES || batch.len() >= BATCH_ROWS) {
            batches.push(std::mem::take(&mut batch));
            size = 0;
        }
        size += bytes;
        batch.push(row);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

/// The position of a command's last event; of a command that changed nothing, the frame's last position.
fn answered_position(header: &FrameHeader, first_event: u64, events: u64) -> u64 {
    match events {
        0 => header.last_position(),
        events => header.first_position.saturating_add(first_event).saturating_add(events - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_the_order_and_the_limits() {
        let rows = |size: usize, count: usize| (0..count).map(|n| (size, n)).collect::<Vec<_>>();
        assert_eq!(batches(rows(10, 0)), Vec::<Vec<usize>>::new());
        assert_eq!(batches(rows(BATCH_BYTES * 2, 2)), [[0], [1]], "a large row goes alone");
        let many = batches(rows(1, BATCH_ROWS * 2 + 1));
        assert_eq!(many.iter().map(Vec::len).collect::<Vec<_>>(), [BATCH_ROWS, BATCH_ROWS, 1]);
        assert!(many.concat().into_iter().eq(0..=BATCH_ROWS * 2));
    }
}
