//! The one writer of `log.db`: group commit over all shards, and what may be said of a proposal when storage fails.
//!
//! A COMMIT that reports a failure may still have left its pages in the write-ahead log, where a recovery after a crash could
//! find them. Until that is excluded, the slots of its frames are *uncertain*: they are answered as unknown, never as not
//! written. The first commit that succeeds afterwards overwrites those pages, so it settles them.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use domain::frame::{EncodedFrame, Slot};
use domain::ports::log::{Decision, LogError, ProposeError, StoreInfo};
use domain::position::Shard;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::{LOG_FILE, MAX_FRAME, key, log_error, reads};
use crate::sqlite::checkpointer::Checkpointer;
use crate::sqlite::connection::{Durability, open_writer};
use crate::sqlite::thread::Joined;

/// Requests that may wait before a caller has to. Each shard has one open proposal at most.
const QUEUE: usize = 2048;
/// A transaction takes no further proposal beyond this size, so that no caller waits for too many others' bytes.
const MAX_BATCH_BYTES: usize = 16 << 20;

/// A checkpoint beside the writer is asked for after so many bytes of frames.
const CHECKPOINT_BYTES: usize = 8 << 20;
/// The writer itself checkpoints, and makes commits wait, only at a journal of so many pages (about 160 MiB).
const LATEST_CHECKPOINT_PAGES: u32 = 40_000;

type ProposeReply = oneshot::Sender<Outcome>;
type ReadReply = oneshot::Sender<Result<Option<Vec<u8>>, LogError>>;
pub(super) type Outcome = Result<Decision, ProposeError>;

enum Request {
    Propose(Arc<EncodedFrame>, ProposeReply),
    ReadSlot(Slot, ReadReply),
}

/// The way to the writer's thread. Dropping it waits for what was taken.
pub(super) struct WriterHandle {
    requests: mpsc::Sender<Request>,
    _thread: Joined,
}

impl WriterHandle {
    pub(super) fn spawn(mut writer: Writer) -> io::Result<Self> {
        let (requests, mut queue) = mpsc::channel(QUEUE);
        let thread = Joined::spawn("log-writer", move || while writer.turn(&mut queue) {})?;
        Ok(Self { requests, _thread: thread })
    }

    pub(super) async fn propose(&self, frame: Arc<EncodedFrame>) -> Outcome {
        let stopped = || "the log's writer has stopped".to_owned();
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(Request::Propose(frame, reply)).await;
        sent.map_err(|_| ProposeError::NotWritten(stopped()))?;
        answer.await.unwrap_or_else(|_| Err(ProposeError::Unknown(stopped())))
    }

    /// Reads a slot after everything that was proposed before, which makes the read serial.
    pub(super) async fn read_slot(&self, slot: Slot) -> Result<Option<Vec<u8>>, LogError> {
        let stopped = || LogError::Unavailable("the log's writer has stopped".to_owned());
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::ReadSlot(slot, reply)).await.map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

/// The state of the writer's thread.
pub(super) struct Writer {
    file: PathBuf,
    store: StoreInfo,
    /// `None` after a failure: opened again before the next batch, so that it recovers as soon as storage does.
    conn: Option<Connection>,
    /// The last committed frame of every shard. True as long as this is the only writer, which the directory's lock ensures.
    tails: Vec<u64>,
    /// Slots whose last COMMIT failed and is not settled yet.
    uncertain: HashSet<Slot>,
    checkpointer: Checkpointer,
    /// Bytes of frames committed since a checkpoint was asked for.
    since_checkpoint: usize,
}

impl Writer {
    pub(super) fn new(
        file: PathBuf,
        conn: Connection,
        store: StoreInfo,
        checkpointer: Checkpointer,
    ) -> rusqlite::Result<Self> {
        conn.pragma_update(None, "wal_autocheckpoint", LATEST_CHECKPOINT_PAGES)?;
        let tails = load_tails(&conn, store.shards)?;
        let uncertain = HashSet::new();
        Ok(Self { file, store, conn: Some(conn), tails, uncertain, checkpointer, since_checkpoint: 0 })
    }

    /// Takes all that waits and answers it; `false` once nobody can ask any more.
    fn turn(&mut self, queue: &mut mpsc::Receiver<Request>) -> bool {
        let Some(first) = queue.blocking_recv() else { return false };
        let (mut frames, mut replies, mut reads) = (Vec::new(), Vec::new(), Vec::new());
        let (mut next, mut bytes) = (Some(first), 0);
        while let Some(request) = next {
            match request {
                Request::Propose(frame, reply) => {
                    bytes += frame.bytes.len();
                    frames.push(frame);
                    replies.push(reply);
                }
                Request::ReadSlot(slot, reply) => reads.push((slot, reply)),
            }
            let full = bytes >= MAX_BATCH_BYTES || frames.len() + reads.len() >= QUEUE;
            next = if full { None } else { queue.try_recv().ok() };
        }
        let outcomes = self.decide(&frames);
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            // A caller that went away asks again, or adopts the row.
            let _ = reply.send(outcome);
        }
        for (slot, reply) in reads {
            let _ = reply.send(self.read(slot));
        }
        true
    }

    /// Decides a batch of proposals in one transaction.
    pub(super) fn decide(&mut self, frames: &[Arc<EncodedFrame>]) -> Vec<Outcome> {
        if frames.is_empty() {
            return Vec::new();
        }
        if let Err(error) = self.recover() {
            return frames.iter().map(|frame| Err(self.failed(frame.header.slot, &error))).collect();
        }
        let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(frames.len());
        outcomes.extend(frames.iter().map(|frame| self.settled_outcome(frame)));
        if outcomes.iter().any(Option::is_none) {
            self.insert(frames, &mut outcomes);
        }
        let unanswered = || Err(ProposeError::Unknown("the batch was given up".to_owned()));
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(unanswered)).collect()
    }

    /// The outcome that is certain whatever becomes of this batch: of an ill-formed proposal, and of a slot that was decided
    /// before it.
    fn settled_outcome(&self, frame: &EncodedFrame) -> Option<Outcome> {
        let slot = frame.header.slot;
        let Some(tail) = self.tails.get(usize::from(slot.shard.0)) else {
            return Some(not_written(format!("the store has no shard {}", slot.shard)));
        };
        if frame.header.store != self.store.id {
            return Some(not_written(format!("{slot} was made for another store")));
        }
        if slot.frame == 0 || slot.frame > MAX_FRAME {
            return Some(not_written(format!("there is no {slot}")));
        }
        if slot.frame > *tail {
            return None;
        }
        let stored = self.conn.as_ref().map(|conn| select_frame(conn, slot));
        Some(match stored {
            Some(Ok(Some(row))) => Ok(compare(frame, row)),
            Some(Ok(None)) => not_written(format!("{slot} lies before the tail, but its row is missing")),
            // Decided it is, but not known as what.
            Some(Err(error)) => Err(ProposeError::Unknown(error.to_string())),
            None => Err(ProposeError::Unknown("the file is not open".to_owned())),
        })
    }

    /// Writes the proposals that have no outcome yet.
    fn insert(&mut self, frames: &[Arc<EncodedFrame>], outcomes: &mut [Option<Outcome>]) {
        let Some(mut conn) = self.conn.take() else { return };
        let mut tails = self.tails.clone();
        let open: Vec<usize> = (0..frames.len()).filter(|i| outcomes[*i].is_none()).collect();
        let proposals = open.iter().map(|i| &*frames[*i]);
        match insert_all(&mut conn, proposals, &mut tails) {
            Ok(written) => {
                self.tails = tails;
                self.conn = Some(conn);
                self.since_checkpoint += open.iter().map(|i| frames[*i].bytes.len()).sum::<usize>();
                if self.since_checkpoint >= CHECKPOINT_BYTES {
                    self.since_checkpoint = 0;
                    self.checkpointer.nudge();
                }
                open.into_iter().zip(written).for_each(|(i, outcome)| outcomes[i] = Some(outcome));
            }
            Err(BatchError::RolledBack(error)) => {
                tracing::error!(%error, frames = open.len(), "the log refused frames");
                open.into_iter().for_each(|i| outcomes[i] = Some(not_written(error.to_string())));
            }
            Err(BatchError::Commit(error)) => {
                tracing::error!(%error, frames = open.len(), "a commit of the log failed: its outcome is unknown");
                for i in open {
                    self.uncertain.insert(frames[i].header.slot);
                    outcomes[i] = Some(Err(ProposeError::Unknown(error.to_string())));
                }
            }
        }
    }

    /// Opens the file again after a failure, and settles what a failed COMMIT left open.
    fn recover(&mut self) -> rusqlite::Result<()> {
        if self.conn.is_some() {
            return Ok(());
        }
        let conn = open_writer(&self.file, Durability::Fsync)?;
        conn.pragma_update(None, "wal_autocheckpoint", LATEST_CHECKPOINT_PAGES)?;
        if !self.uncertain.is_empty() {
            conn.execute(include_str!("settle.sql"), [])?;
        }
        self.tails = load_tails(&conn, self.store.shards)?;
        self.uncertain.clear();
        self.conn = Some(conn);
        Ok(())
    }

    /// What may be said of a proposal that couldn't even be tried.
    fn failed(&self, slot: Slot, error: &rusqlite::Error) -> ProposeError {
        let decided = self.tails.get(usize::from(slot.shard.0)).is_some_and(|tail| slot.frame <= *tail);
        if decided || self.uncertain.contains(&slot) {
            ProposeError::Unknown(error.to_string())
        } else {
            ProposeError::NotWritten(error.to_string())
        }
    }

    fn read(&mut self, slot: Slot) -> Result<Option<Vec<u8>>, LogError> {
        self.recover().map_err(|e| log_error(LOG_FILE, &e))?;
        let Some(conn) = &self.conn else {
            return Err(LogError::Unavailable(format!("{LOG_FILE} is not open")));
        };
        let row = select_frame(conn, slot).map_err(|e| log_error(LOG_FILE, &e));
        if row.is_err() {
            self.conn = None;
        }
        row
    }
}

#[cfg(test)]
impl Writer {
    pub(super) fn enforce_foreign_keys(&self) {
        self.conn.as_ref().unwrap().pragma_update(None, "foreign_keys", true).unwrap();
    }

    pub(super) fn is_open(&self) -> bool {
        self.conn.is_some()
    }
}

fn not_written(reason: String) -> Outcome {
    Err(ProposeError::NotWritten(reason))
}

fn compare(frame: &EncodedFrame, row: Vec<u8>) -> Decision {
    if row == frame.bytes { Decision::Decided } else { Decision::Taken(row) }
}

fn select_frame(conn: &Connection, slot: Slot) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = conn.prepare_cached(include_str!("select_frame.sql"))?;
    statement.query_row([key(slot.shard, slot.frame)], |row| row.get(0)).optional()
}

/// Why a batch was not committed.
enum BatchError {
    /// Before its COMMIT: nothing of it can land.
    RolledBack(rusqlite::Error),
    /// In its COMMIT.
    Commit(rusqlite::Error),
}

/// One transaction; `tails` is right only when it succeeds.
fn insert_all<'a>(
    conn: &mut Connection,
    frames: impl Iterator<Item = &'a EncodedFrame>,
    tails: &mut [u64],
) -> Result<Vec<Outcome>, BatchError> {
    let tx =
        conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(BatchError::RolledBack)?;
    let mut any = false;
    let outcomes = frames.map(|frame| {
        let (outcome, inserted) = insert_one(&tx, frame, tails)?;
        any |= inserted;
        Ok(outcome)
    });
    let outcomes = outcomes.collect::<Result<_, _>>().map_err(BatchError::RolledBack)?;
    if any {
        tx.commit().map_err(BatchError::Commit)?;
    }
    Ok(outcomes)
}

/// Inserts a frame if its slot is the next of its shard, and says whether it did.
fn insert_one(
    conn: &Connection,
    frame: &EncodedFrame,
    tails: &mut [u64],
) -> rusqlite::Result<(Outcome, bool)> {
    let slot = frame.header.slot;
    let tail = &mut tails[usize::from(slot.shard.0)];
    if slot.frame > *tail + 1 {
        let reason = format!("{slot} would leave a hole: the shard ends at frame {tail}");
        return Ok((not_written(reason), false));
    }
    if slot.frame <= *tail {
        // Another proposal of this same batch came first.
        let row = select_frame(conn, slot)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        return Ok((Ok(compare(frame, row)), false));
    }
    let mut statement = conn.prepare_cached(include_str!("insert_frame.sql"))?;
    statement.execute((key(slot.shard, slot.frame), frame.header.last_position(), &frame.bytes))?;
    *tail = slot.frame;
    Ok((Ok(Decision::Decided), true))
}

fn load_tails(conn: &Connection, shards: u16) -> rusqlite::Result<Vec<u64>> {
    (0..shards).map(|n| reads::tail(conn, Shard(n)).map(|(frame, _)| frame)).collect()
}
