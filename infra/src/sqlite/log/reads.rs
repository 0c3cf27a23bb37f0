//! Reading both files: a few read-only connections, used on blocking threads, in short transactions, so that the write-ahead
//! logs can be checkpointed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use domain::command::CommandId;
use domain::event::RecordedEvent;
use domain::frame::{CommandRecord, FrameId, FrameView, Slot};
use domain::merkle::Hash;
use domain::ports::log::{CommandResult, LogError, Progress, StoredSnapshot};
use domain::position::{Position, Shard};
use domain::stream::StreamId;
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::Semaphore;

use super::{DERIVED_FILE, LOG_FILE, MAX_FRAME, frame_of_key, key, log_error};
use crate::derived_digest::stream_key;
use crate::sqlite::connection::open_reader;

/// Reads that run at the same time; more would only wait for the same disk and processors.
pub(super) const READERS: usize = 4;

/// Read-only connections to both files.
pub(super) struct ReadFiles {
    log: Connection,
    pub(super) derived: Connection,
}

/// The connections that are idle, and the permits for those in use.
pub(super) struct ReadPool {
    log_file: PathBuf,
    derived_file: PathBuf,
    idle: Mutex<Vec<ReadFiles>>,
    permits: Arc<Semaphore>,
    /// Reads that have begun.
    #[cfg(test)]
    pub(super) begun: std::sync::atomic::AtomicUsize,
}

impl ReadPool {
    pub(super) fn new(log_file: PathBuf, derived_file: PathBuf) -> Self {
        let permits = Arc::new(Semaphore::new(READERS));
        Self {
            log_file,
            derived_file,
            idle: Mutex::new(Vec::new()),
            permits,
            #[cfg(test)]
            begun: std::sync::atomic::AtomicUsize::new(0),
        }
    }

    fn take(&self) -> Result<ReadFiles, LogError> {
        if let Some(files) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(files);
        }
        let log = open_reader(&self.log_file).map_err(|e| log_error(LOG_FILE, &e))?;
        let derived = open_reader(&self.derived_file).map_err(|e| log_error(DERIVED_FILE, &e))?;
        Ok(ReadFiles { log, derived })
    }

    /// Runs a read on a blocking thread once a connection is free.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&ReadFiles) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let gone = |e: &dyn std::error::Error| LogError::Unavailable(format!("a read was given up: {e}"));
        let permit = self.permits.clone().acquire_owned().await.map_err(|e| gone(&e))?;
        #[cfg(test)]
        self.begun.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let pool = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let files = pool.take()?;
            let answer = read(&files);
            // A connection that met an error is not used again: the next one starts afresh.
            if answer.is_ok() {
                pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(files);
            }
            drop(permit);
            answer
        });
        task.await.map_err(|e| gone(&e))?
    }
}

fn log_failed(error: rusqlite::Error) -> LogError {
    log_error(LOG_FILE, &error)
}

pub(super) fn derived_failed(error: rusqlite::Error) -> LogError {
    log_error(DERIVED_FILE, &error)
}

fn corrupt(what: impl std::fmt::Display, reason: impl std::fmt::Display) -> LogError {
    LogError::Corrupt(what.to_string(), reason.to_string())
}

/// The last frame of a shard and its last position; (0, 0) for an empty shard.
pub(super) fn tail(log: &Connection, shard: Shard) -> rusqlite::Result<(u64, u64)> {
    let mut statement = log.prepare_cached(include_str!("select_tail.sql"))?;
    let row = statement
        .query_row([key(shard, 0), key(shard, MAX_FRAME)], |row| {
            Ok((frame_of_key(row.get(0)?), row.get::<_, u64>(1)?))
        })
        .optional()?;
    Ok(row.unwrap_or((0, 0)))
}

pub(super) fn frames(
    files: &ReadFiles,
    shard: Shard,
    from: u64,
    limit: usize,
    max_bytes: usize,
) -> Result<Vec<Vec<u8>>, LogError> {
    let from = from.max(1);
    let mut statement = files.log.prepare_cached(include_str!("select_frames.sql")).map_err(log_failed)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query((key(shard, from), key(shard, MAX_FRAME), limit)).map_err(log_failed)?;
    let (mut page, mut size) = (Vec::new(), 0);
    while let Some(row) = rows.next().map_err(log_failed)? {
        let expected = from + page.len() as u64;
        if frame_of_key(row.get(0).map_err(log_failed)?) != expected {
            if page.is_empty() {
                return Err(corrupt(
                    Slot { shard, frame: expected },
                    "it is missing, but later frames are there",
                ));
            }
            // The next page begins at the hole, and says so.
            break;
        }
        let bytes = row.get_ref(1).and_then(|v| Ok(v.as_blob()?)).map_err(log_failed)?;
        size += bytes.len();
        if size > max_bytes && !page.is_empty() {
            break;
        }
        page.push(bytes.to_vec());
    }
    Ok(page)
}

/// Binary search over the shard's frames, which are dense: the first whose last position reaches `position`.
pub(super) fn frame_of_position(files: &ReadFiles, position: Position) -> Result<u64, LogError> {
    let shard = position.shard;
    let (last_frame, head) = tail(&files.log, shard).map_err(log_failed)?;
    if position.n > head {
        return Ok(last_frame + 1);
    }
    let mut statement =
        files.log.prepare_cached(include_str!("select_last_position.sql")).map_err(log_failed)?;
    let (mut low, mut high) = (1, last_frame);
    while low < high {
        let middle = low + (high - low) / 2;
        let last: Option<u64> =
            statement.query_row([key(shard, middle)], |row| row.get(0)).optional().map_err(log_failed)?;
        let last = last.ok_or_else(|| corrupt(Slot { shard, frame: middle }, "it is missing"))?;
        if last < position.n { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

/// The column that [`frame_of_position`] searches, as it stands.
pub(super) fn last_positions(
    files: &ReadFiles,
    shard: Shard,
    from: u64,
    limit: usize,
) -> Result<Vec<u64>, LogError> {
    let mut statement =
        files.log.prepare_cached(include_str!("select_last_positions.sql")).map_err(log_failed)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement
        .query_map((key(shard, from), key(shard, MAX_FRAME), limit), |row| row.get::<_, i64>(0))
        .map_err(log_failed)?;
    // No position is negative: such a value is as wrong as any that no frame has.
    rows.map(|n| n.map(|n| u64::try_from(n).unwrap_or(u64::MAX)).map_err(log_failed)).collect()
}

fn frame(files: &ReadFiles, slot: Slot) -> Result<Vec<u8>, LogError> {
    let mut statement = files.log.prepare_cached(include_str!("select_frame.sql")).map_err(log_failed)?;
    let bytes = statement.query_row([key(slot.shard, slot.frame)], |row| row.get(0)).optional();
    bytes.map_err(log_failed)?.ok_or_else(|| corrupt(slot, "it is missing, but derived rows point to it"))
}

struct Pointer {
    version: u64,
    frame: u64,
    event: u64,
}

fn pointers(
    files: &ReadFiles,
    shard: Shard,
    stream: &StreamId,
    after: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Pointer>> {
    let mut statement = files.derived.prepare_cached(include_str!("select_pointers.sql"))?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map((shard.0, stream_key(stream), after, limit), |row| {
        Ok(Pointer { version: row.get(0)?, frame: row.get(1)?, event: row.get(2)? })
    })?;
    rows.collect()
}

pub(super) fn stream(
    files: &ReadFiles,
    shard: Shard,
    stream: &StreamId,
    after: u64,
    limit: usize,
) -> Result<Vec<RecordedEvent>, LogError> {
    let pointers = pointers(files, shard, stream, after, limit).map_err(derived_failed)?;
    let mut events = Vec::with_capacity(pointers.len());
    // Later versions stand in the same frame or in later ones, so each frame is one run of pointers and is read once.
    for run in pointers.chunk_by(|a, b| a.frame == b.frame) {
        let slot = Slot { shard, frame: run[0].frame };
        let bytes = frame(files, slot)?;
        let view = FrameView::parse(&bytes).map_err(|e| corrupt(slot, e))?;
        for pointer in run {
            let expected = after + events.len() as u64 + 1;
            if pointer.version != expected {
                return Err(corrupt(
                    stream,
                    format!("version {expected} has no row, but {} has", pointer.version),
                ));
            }
            let index = usize::try_from(pointer.event).ok().filter(|i| *i < view.events.len());
            let event = index
                .map(|i| RecordedEvent::decode(view.events[i], view.position(i)))
                .ok_or_else(|| corrupt(slot, format!("it has no event {}", pointer.event)))?
                .map_err(|e| corrupt(slot, e))?;
            if event.stream != *stream || event.version != expected {
                let found = format!("its row leads to version {} of {}", event.version, event.stream);
                return Err(corrupt(format!("version {expected} of {stream}"), found));
            }
            events.push(event);
        }
    }
    Ok(events)
}

pub(super) fn command_result(
    files: &ReadFiles,
    shard: Shard,
    id: CommandId,
) -> Result<Option<CommandResult>, LogError> {
    let mut statement =
        files.derived.prepare_cached(include_str!("select_command_result.sql")).map_err(derived_failed)?;
    let place = statement
        .query_row((shard.0, id.0.into_bytes()), |row| Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?)))
        .optional()
        .map_err(derived_failed)?;
    let Some((number, index)) = place else { return Ok(None) };
    let slot = Slot { shard, frame: number };
    let bytes = frame(files, slot)?;
    let view = FrameView::parse(&bytes).map_err(|e| corrupt(slot, e))?;
    let mut records = view.decode_commands().map_err(|e| corrupt(slot, e))?;
    let index = usize::try_from(index)
        .ok()
        .filter(|i| *i < records.len())
        .ok_or_else(|| corrupt(slot, format!("it has no command record {index}")))?;
    let record = records.swap_remove(index);
    if record.id != id {
        return Err(corrupt(
            format!("the result of command {id}"),
            format!("its row leads to {}", record.id),
        ));
    }
    Ok(Some(CommandResult { frame: number, position: answered_position(&view, &record), record }))
}

/// The position of a command's last event; of a command that changed nothing, the frame's last position.
fn answered_position(view: &FrameView<'_>, record: &CommandRecord) -> Position {
    let n = match record.events {
        0 => view.header.last_position(),
        events => view.header.first_position.saturating_add(record.first_event).saturating_add(events - 1),
    };
    Position { shard: view.header.slot.shard, n }
}

pub(super) fn snapshots(
    files: &ReadFiles,
    shard: Shard,
    stream: &StreamId,
) -> Result<Vec<StoredSnapshot>, LogError> {
    let mut statement =
        files.derived.prepare_cached(include_str!("select_snapshots.sql")).map_err(derived_failed)?;
    let rows = statement.query_map((shard.0, stream_key(stream), domain::ports::log::KEPT_FOLDS), |row| {
        Ok(StoredSnapshot {
            version: row.get(0)?,
            created_at: row.get(1)?,
            updated_at: row.get(2)?,
            contents: domain::aggregate::SnapshotState { state: row.get(3)?, fold: row.get(4)? },
        })
    });
    rows.and_then(Iterator::collect).map_err(derived_failed)
}

pub(super) fn progress(files: &ReadFiles, shard: Shard) -> Result<Progress, LogError> {
    select_progress(&files.derived, shard).map_err(derived_failed)
}

pub(super) fn select_progress(derived: &Connection, shard: Shard) -> rusqlite::Result<Progress> {
    let mut statement = derived.prepare_cached(include_str!("select_progress.sql"))?;
    let row = statement.query_row([shard.0], |row| {
        Ok(Progress { derived_through: row.get(0)?, published_through: row.get(1)?, tail_hint: row.get(2)? })
    });
    Ok(row.optional()?.unwrap_or_default())
}

/// The last frame that derived rows were made of; `None` when an older program didn't tell.
pub(super) fn select_mark(derived: &Connection, shard: Shard) -> rusqlite::Result<Option<FrameId>> {
    let mut statement = derived.prepare_cached(include_str!("select_mark.sql"))?;
    let row = statement.query_row([shard.0], |row| Ok(FrameId { number: row.get(0)?, hash: row.get(1)? }));
    row.optional()
}

/// The hash of a frame; `None` when it isn't there or can't be read.
pub(super) fn frame_hash(log: &Connection, slot: Slot) -> rusqlite::Result<Option<Hash>> {
    let mut statement = log.prepare_cached(include_str!("select_frame.sql"))?;
    let bytes: Option<Vec<u8>> =
        statement.query_row([key(slot.shard, slot.frame)], |row| row.get(0)).optional()?;
    Ok(bytes.and_then(|bytes| FrameView::parse(&bytes).ok().map(|view| view.hash)))
}
