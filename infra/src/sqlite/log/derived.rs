//! Writing derived rows: pointers, command results and snapshots, and how far they have come, in one transaction.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::frame::{DecidedFrame, Slot};
use domain::ports::log::LogError;
use domain::position::Shard;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{DERIVED_FILE, log_error, reads};
use crate::derived_digest::push_stream_key;
use crate::sqlite::connection::is_broken;

/// A file beside `derived.db` that says it was found broken, so that the next opening makes it anew.
pub(super) struct BrokenMark {
    path: PathBuf,
}

impl BrokenMark {
    pub(super) fn beside(derived_file: &Path) -> Self {
        Self { path: derived_file.with_extension("broken") }
    }

    pub(super) fn is_set(&self) -> bool {
        self.path.exists()
    }

    pub(super) fn clear(&self) -> io::Result<()> {
        if self.is_set() { std::fs::remove_file(&self.path) } else { Ok(()) }
    }

    fn set(&self, reason: &str) {
        tracing::error!(reason, "derived rows are broken: they will be made again at the next start");
        if let Err(error) = std::fs::write(&self.path, reason) {
            tracing::error!(%error, file = %self.path.display(), "the mark of broken derived rows can't be written");
        }
    }
}

/// Why derived rows were not written: nothing of the batch was.
pub(super) enum WriteError {
    Sqlite(rusqlite::Error),
    Refused(LogError),
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl WriteError {
    pub(super) fn refused(what: impl std::fmt::Display, reason: String) -> Self {
        Self::Refused(LogError::Corrupt(what.to_string(), reason))
    }

    /// Turns it into the port's error, leaving the mark when the file is broken.
    pub(super) fn report(self, mark: &BrokenMark) -> LogError {
        match self {
            Self::Sqlite(error) => {
                if is_broken(&error) {
                    mark.set(&error.to_string());
                }
                log_error(DERIVED_FILE, &error)
            }
            Self::Refused(error) => error,
        }
    }
}

pub(super) fn write(
    conn: &mut Connection,
    shard: Shard,
    frames: &[Arc<DecidedFrame>],
) -> Result<(), WriteError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut through = reads::select_progress(&tx, shard)?.derived_through;
    let mut key = Vec::with_capacity(64);
    for frame in frames {
        let slot = frame.header.slot;
        if slot.shard != shard {
            return Err(WriteError::refused(slot, format!("it came with derived rows of shard {shard}")));
        }
        if slot.frame <= through {
            continue;
        }
        if slot.frame != through + 1 {
            return Err(WriteError::refused(slot, format!("derived rows end at frame {through}: a hole")));
        }
        write_frame(&tx, frame, &mut key)?;
        through = slot.frame;
        tx.prepare_cached(include_str!("mark_derived.sql"))?.execute((shard.0, through, frame.hash))?;
    }
    if !frames.is_empty() {
        tx.prepare_cached(include_str!("advance_derived.sql"))?.execute((shard.0, through))?;
    }
    Ok(tx.commit()?)
}

fn write_frame(tx: &Transaction<'_>, frame: &DecidedFrame, key: &mut Vec<u8>) -> Result<(), WriteError> {
    let Slot { shard, frame: number } = frame.header.slot;
    let mut insert = tx.prepare_cached(include_str!("insert_pointer.sql"))?;
    for (index, event) in (0_u64..).zip(&frame.events) {
        key.clear();
        push_stream_key(&event.stream, key);
        if insert.execute((shard.0, &*key, event.version, number, index))? == 0 {
            // Frames up to `derived_through` are skipped, so a row that is there already was left by something else.
            let mut select = tx.prepare_cached(include_str!("select_pointer.sql"))?;
            let there: (u64, u64) =
                select.query_row((shard.0, &*key, event.version), |row| Ok((row.get(0)?, row.get(1)?)))?;
            if there != (number, index) {
                let what = format!("version {} of {}", event.version, event.stream);
                let reason = format!(
                    "its row says event {} of frame {}, the log says event {index} of frame {number}",
                    there.1, there.0
                );
                return Err(WriteError::refused(what, reason));
            }
        }
    }
    let mut insert = tx.prepare_cached(include_str!("insert_command_result.sql"))?;
    for (index, command) in frame.repeatable() {
        insert.execute((shard.0, command.id.0.as_bytes(), number, index))?;
    }
    Ok(())
}

pub(super) fn write_published(conn: &mut Connection, shard: Shard, frame: u64) -> Result<(), WriteError> {
    conn.prepare_cached(include_str!("advance_published.sql"))?.execute((shard.0, frame))?;
    Ok(())
}

pub(super) fn drop_rows(conn: &mut Connection, shard: Shard) -> Result<(), WriteError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for statement in [
        include_str!("drop_pointers.sql"),
        include_str!("drop_command_results.sql"),
        include_str!("drop_snapshots.sql"),
        include_str!("drop_fold_snapshots.sql"),
        include_str!("reset_derived.sql"),
    ] {
        tx.execute(statement, [shard.0])?;
    }
    Ok(tx.commit()?)
}
