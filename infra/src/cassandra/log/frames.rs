//! Deciding slots and reading decided frames: the table `log`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::frame::{EncodedFrame, Slot};
use domain::ports::log::{Decision, LogError, ProposeError};
use domain::position::Shard;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::value::{CqlValue, Row};

use super::statements::{MAX_NUMBER, serial};
use super::{BUCKET, CassandraLogInner, OPEN_PROPOSALS};
use crate::cassandra::connect::{applied, corrupt, unavailable, wrote_nothing};
use crate::cassandra::open_error::one_line;

/// Larger frames are refused here: servers of default settings don't take them (half a commit log segment, 16 MiB).
const MAX_FRAME_BYTES: usize = 8 << 20;
/// Rows of a page: of the first one of a read, whose size is guessed, and of any.
const FIRST_ROWS: u64 = 64;
const MOST_ROWS: u64 = 512;
/// Bytes of a page, about.
const PAGE_BYTES: u64 = 4 << 20;

/// The key of a slot: shard, bucket, frame.
pub(super) fn key(slot: Slot) -> (i32, i64, i64) {
    (i32::from(slot.shard.0), (slot.frame / BUCKET) as i64, slot.frame as i64)
}

/// Proposes a frame. The request goes on when the caller stops waiting, so that a serial read of this process that comes later
/// comes after it.
pub(super) async fn propose(
    inner: &Arc<CassandraLogInner>,
    frame: Arc<EncodedFrame>,
) -> Result<Decision, ProposeError> {
    let slot = frame.header.slot;
    let refuse = |reason: String| Err(ProposeError::NotWritten(reason));
    let Ok(shard) = inner.shard(slot.shard) else {
        return refuse(format!("the store has no shard {}", slot.shard));
    };
    if frame.header.store != inner.store.id {
        return refuse(format!("{slot} was made for another store"));
    }
    if !(1..=MAX_NUMBER).contains(&slot.frame) {
        return refuse(format!("there is no {slot}"));
    }
    if frame.bytes.len() > MAX_FRAME_BYTES {
        return refuse(format!("{slot} has {} bytes, more than {MAX_FRAME_BYTES}", frame.bytes.len()));
    }
    let Ok(permit) = Arc::clone(&shard.proposals).acquire_owned().await else {
        return refuse("the log was closed".to_owned());
    };
    let inner = Arc::clone(inner);
    let task = tokio::spawn(async move {
        let outcome = inner.propose(&frame).await;
        drop(permit);
        outcome
    });
    task.await.unwrap_or_else(|e| Err(ProposeError::Unknown(format!("the proposal was given up: {e}"))))
}

impl CassandraLogInner {
    async fn propose(&self, frame: &EncodedFrame) -> Result<Decision, ProposeError> {
        let slot = frame.header.slot;
        self.check_predecessor(slot).await?;
        let (shard, bucket, number) = key(slot);
        let header = &frame.header;
        let (epoch, first, events) =
            (header.epoch as i64, header.first_position as i64, header.events as i64);
        let values = (shard, bucket, number, epoch, first, events, header.nonce, frame.bytes.as_slice());
        let outcome =
            self.session.execute_unpaged(&self.statements.insert_frame, values).await.map_err(|error| {
                let reason = one_line(&error);
                if wrote_nothing(&error) {
                    ProposeError::NotWritten(reason)
                } else {
                    ProposeError::Unknown(reason)
                }
            })?;
        // An answer that can't be read says nothing about the slot.
        let unclear = |reason: &str| ProposeError::Unknown(format!("{slot}: the server's answer {reason}"));
        let rows = outcome.into_rows_result().map_err(|_| unclear("has no rows"))?;
        let decision = match applied(&rows).ok_or_else(|| unclear("doesn't say whether it was applied"))? {
            true => Decision::Decided,
            false => {
                let (column, _) =
                    rows.column_specs().get_by_name("bytes").ok_or_else(|| unclear("lacks the row"))?;
                let row: Row = rows.first_row().map_err(|_| unclear("lacks the row"))?;
                match row.columns.into_iter().nth(column).flatten() {
                    Some(CqlValue::Blob(bytes)) if bytes == frame.bytes => Decision::Decided,
                    Some(CqlValue::Blob(bytes)) => Decision::Taken(bytes),
                    _ => return Err(unclear("lacks the row's bytes")),
                }
            }
        };
        if let Ok(shard) = self.shard(slot.shard) {
            shard.saw_decided(slot.frame);
        }
        Ok(decision)
    }

    /// P2: a frame is sent only when the one before it is known to be decided. Usually this process decided or read that one.
    async fn check_predecessor(&self, slot: Slot) -> Result<(), ProposeError> {
        let refuse = |reason: String| ProposeError::NotWritten(reason);
        let shard = self.shard(slot.shard).map_err(|e| refuse(e.to_string()))?;
        let before = Slot { frame: slot.frame - 1, ..slot };
        if shard.decided.load(Ordering::Relaxed) >= before.frame {
            return Ok(());
        }
        match self.serial_read(before).await {
            Ok(Some(_)) => {
                shard.saw_decided(before.frame);
                Ok(())
            }
            Ok(None) => Err(refuse(format!("{slot} would leave a hole: {before} is empty"))),
            Err(error) => Err(refuse(format!("{before} can't be read: {error}"))),
        }
    }

    /// The row of a slot, after all proposals for the shard that this process sent before.
    pub(super) async fn read_slot(&self, slot: Slot) -> Result<Option<Vec<u8>>, LogError> {
        let shard = self.shard(slot.shard)?;
        let all = shard.proposals.acquire_many(OPEN_PROPOSALS).await;
        drop(all.map_err(|e| LogError::Unavailable(e.to_string()))?);
        self.serial_read(slot).await
    }

    async fn serial_read(&self, slot: Slot) -> Result<Option<Vec<u8>>, LogError> {
        let statement = serial(&self.statements.select_frame);
        let rows = self.session.execute_unpaged(&statement, key(slot)).await.map_err(unavailable)?;
        let rows = rows.into_rows_result().map_err(|e| corrupt(slot, e))?;
        let row = rows.maybe_first_row::<(&[u8],)>().map_err(|e| corrupt(slot, e))?;
        Ok(row.map(|(bytes,)| bytes.to_vec()))
    }

    /// See [`LogReader::read_frames`](domain::ports::log::LogReader::read_frames). At LOCAL_QUORUM: what was acknowledged is seen.
    pub(super) async fn read_frames(
        &self,
        shard: Shard,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Vec<u8>>, LogError> {
        let mut read = Reading { shard, from: from.max(1), limit, max_bytes, page: Vec::new(), size: 0 };
        if self.shard(shard).is_err() {
            return Ok(Vec::new());
        }
        while read.wants_more() && self.read_bucket(&mut read).await? == Bucket::Full {}
        if !read.page.is_empty() {
            self.shard(shard)?.saw_decided(read.next() - 1);
        } else if limit > 0 {
            self.check_hole(Slot { shard, frame: read.from }).await?;
        }
        Ok(read.page)
    }

    /// Reads on in the bucket of the next frame.
    async fn read_bucket(&self, read: &mut Reading) -> Result<Bucket, LogError> {
        let state = self.shard(read.shard)?;
        let bucket = read.next() / BUCKET;
        let start = (i32::from(read.shard.0), bucket as i64, read.next() as i64);
        let mut paging = PagingState::start();
        let mut most = FIRST_ROWS;
        loop {
            let room = (read.max_bytes.saturating_sub(read.size) as u64).min(PAGE_BYTES);
            let fits = room / state.frame_size.load(Ordering::Relaxed).max(1) + 1;
            let wanted = fits.min(most).min((read.limit - read.page.len()) as u64);
            let mut statement = self.statements.select_frames.clone();
            statement.set_page_size(wanted as i32);
            let (rows, next) =
                self.session.execute_single_page(&statement, start, paging).await.map_err(unavailable)?;
            let what = || format!("the frames of shard {}", read.shard);
            let rows = rows.into_rows_result().map_err(|e| corrupt(what(), e))?;
            let rows = rows.rows::<(i64, &[u8])>().map_err(|e| corrupt(what(), e))?;
            for row in rows {
                let (frame, bytes) =
                    row.map_err(|e| corrupt(format!("the frames of shard {}", read.shard), e))?;
                state.frame_size.store(
                    (state.frame_size.load(Ordering::Relaxed) * 7 + bytes.len() as u64) / 8,
                    Ordering::Relaxed,
                );
                if !read.take(frame as u64, bytes)? {
                    return Ok(Bucket::Done);
                }
            }
            match next {
                PagingStateResponse::HasMorePages { state } if read.wants_more() => paging = state,
                // Only a bucket that is full is followed by another one.
                _ if read.next() / BUCKET > bucket => return Ok(Bucket::Full),
                _ => return Ok(Bucket::Done),
            }
            most = MOST_ROWS;
        }
    }

    /// An empty slot whose successors are in another bucket: reading on would not find it.
    async fn check_hole(&self, slot: Slot) -> Result<(), LogError> {
        match self.last_of_bucket(slot.shard, slot.frame / BUCKET + 1).await? {
            Some(_) => Err(corrupt(slot, "it is missing, but later frames are there")),
            None => Ok(()),
        }
    }
}

#[derive(PartialEq)]
enum Bucket {
    /// Read to its end: the next one may have more.
    Full,
    /// The tail was reached, or enough was read.
    Done,
}

struct Reading {
    shard: Shard,
    from: u64,
    limit: usize,
    max_bytes: usize,
    page: Vec<Vec<u8>>,
    size: usize,
}

impl Reading {
    fn next(&self) -> u64 {
        self.from + self.page.len() as u64
    }

    fn wants_more(&self) -> bool {
        self.page.len() < self.limit && (self.page.is_empty() || self.size < self.max_bytes)
    }

    /// Takes the next row; `false` when it doesn't belong to the page any more.
    fn take(&mut self, frame: u64, bytes: &[u8]) -> Result<bool, LogError> {
        if frame != self.next() {
            if self.page.is_empty() {
                let slot = Slot { shard: self.shard, frame: self.next() };
                return Err(corrupt(slot, "it is missing, but later frames are there"));
            }
            // The next page begins at the hole, and says so.
            return Ok(false);
        }
        self.size += bytes.len();
        if !self.page.is_empty() && (self.size > self.max_bytes || self.page.len() >= self.limit) {
            return Ok(false);
        }
        self.page.push(bytes.to_vec());
        Ok(true)
    }
}
