//! Finding the tail and the frame of a position, from the columns beside the bytes.

use std::sync::atomic::Ordering;

use domain::frame::Slot;
use domain::ports::log::LogError;
use domain::position::{Position, Shard};

use super::frames::key;
use super::{BUCKET, CassandraLogInner};
use crate::cassandra::connect::{corrupt, unavailable};

/// A shard's last frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Last {
    /// Its number; 0 when the shard is empty.
    pub(super) frame: u64,
    /// The shard's last position once it was decided.
    pub(super) last_position: u64,
}

fn last_position(first_position: i64, events: i64) -> u64 {
    // A column that somebody changed may hold anything; only bytes are proof.
    (first_position as u64).wrapping_add(events as u64).wrapping_sub(1)
}

impl CassandraLogInner {
    /// The last frame of a bucket.
    pub(super) async fn last_of_bucket(&self, shard: Shard, bucket: u64) -> Result<Option<Last>, LogError> {
        let what = || format!("bucket {bucket} of shard {shard}");
        let values = (i32::from(shard.0), bucket as i64);
        let rows =
            self.session.execute_unpaged(&self.statements.select_last, values).await.map_err(unavailable)?;
        let rows = rows.into_rows_result().map_err(|e| corrupt(what(), e))?;
        let row = rows.maybe_first_row::<(i64, i64, i64)>().map_err(|e| corrupt(what(), e))?;
        Ok(row.map(|(frame, first, events)| Last {
            frame: frame as u64,
            last_position: last_position(first, events),
        }))
    }

    /// The last position of a frame that is there.
    pub(super) async fn place(&self, slot: Slot) -> Result<Option<u64>, LogError> {
        let rows = self.session.execute_unpaged(&self.statements.select_place, key(slot)).await;
        let rows = rows.map_err(unavailable)?.into_rows_result().map_err(|e| corrupt(slot, e))?;
        let row = rows.maybe_first_row::<(i64, i64)>().map_err(|e| corrupt(slot, e))?;
        Ok(row.map(|(first, events)| last_position(first, events)))
    }

    /// The shard's last frame: from the last one known here or by `tail_hint`, bucket by bucket.
    pub(super) async fn tail(&self, shard: Shard) -> Result<Last, LogError> {
        let Ok(state) = self.shard(shard) else { return Ok(Last::default()) };
        let known = match state.decided.load(Ordering::Relaxed) {
            0 => self.progress(shard).await?.tail_hint,
            known => known,
        };
        let tail = self.find_tail(shard, known / BUCKET).await?;
        state.saw_decided(tail.frame);
        Ok(tail)
    }

    /// The shard's last frame, looked for from a bucket on, or from the first when that one is empty: in steps that double, then
    /// by halves, since only the last bucket is not full and no bucket after it has anything.
    pub(super) async fn find_tail(&self, shard: Shard, start: u64) -> Result<Last, LogError> {
        let mut low = start;
        let mut found = match self.last_of_bucket(shard, start).await? {
            Some(last) => last,
            None if start == 0 => return Ok(Last::default()),
            None => {
                low = 0;
                let Some(first) = self.last_of_bucket(shard, 0).await? else { return Ok(Last::default()) };
                first
            }
        };
        // `low` has frames; `high` has none.
        let mut step = 1;
        let mut high = loop {
            if found.frame + 1 < (low + 1) * BUCKET {
                return Ok(found);
            }
            match self.last_of_bucket(shard, low + step).await? {
                Some(last) => (low, found, step) = (low + step, last, step * 2),
                None => break low + step,
            }
        };
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.last_of_bucket(shard, middle).await? {
                Some(last) => (low, found) = (middle, last),
                None => high = middle,
            }
        }
        Ok(found)
    }

    /// The first frame whose last position reaches `position`: first its bucket, then its place in it, both by halves.
    pub(super) async fn frame_of_position(&self, position: Position) -> Result<u64, LogError> {
        let shard = position.shard;
        let tail = self.tail(shard).await?;
        if position.n > tail.last_position {
            return Ok(tail.frame + 1);
        }
        let missing = |slot: Slot| corrupt(slot, "it is missing");
        let (mut low, mut high) = (0, tail.frame / BUCKET);
        while low < high {
            let middle = low + (high - low) / 2;
            let last = self.last_of_bucket(shard, middle).await?;
            let last = last.ok_or_else(|| missing(Slot { shard, frame: middle * BUCKET }))?;
            if last.last_position < position.n { low = middle + 1 } else { high = middle }
        }
        let (mut first, mut last) = ((low * BUCKET).max(1), (low * BUCKET + BUCKET - 1).min(tail.frame));
        while first < last {
            let middle = first + (last - first) / 2;
            let slot = Slot { shard, frame: middle };
            let reached = self.place(slot).await?.ok_or_else(|| missing(slot))?;
            if reached < position.n { first = middle + 1 } else { last = middle }
        }
        Ok(first)
    }

    /// The last positions of frames, as the columns have them.
    pub(super) async fn last_positions(
        &self,
        shard: Shard,
        from: u64,
        limit: usize,
    ) -> Result<Vec<u64>, LogError> {
        let mut positions = Vec::new();
        let mut next = from.max(1);
        while positions.len() < limit {
            let (before, bucket) = (positions.len(), next / BUCKET);
            let rows = self
                .session
                .execute_unpaged(&self.statements.select_places, key(Slot { shard, frame: next }));
            let what = || format!("bucket {bucket} of shard {shard}");
            let rows = rows.await.map_err(unavailable)?.into_rows_result().map_err(|e| corrupt(what(), e))?;
            for row in rows.rows::<(i64, i64, i64)>().map_err(|e| corrupt(what(), e))?.take(limit - before) {
                let (frame, first, events) = row.map_err(|e| corrupt(what(), e))?;
                if frame as u64 != next {
                    return Ok(positions);
                }
                positions.push(last_position(first, events));
                next += 1;
            }
            if next / BUCKET == bucket {
                break;
            }
        }
        Ok(positions)
    }
}
