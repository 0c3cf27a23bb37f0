//! Opening a store: making it, recognising it, and recreating derived rows that can't be trusted.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::frame::Slot;
use domain::ports::log::StoreInfo;
use domain::position::{MAX_SHARDS, Position, Shard};
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::derived::BrokenMark;
use super::reads::{self, ReadPool};
use super::writer::{self, WriterHandle};
use super::{DERIVED_FILE, LOG_FILE, SqliteLog};
use crate::sqlite::checkpointer::Checkpointer;
use crate::sqlite::connection::{Durability, is_broken, open_writer, schema_version};
use crate::sqlite::thread::DbThread;

/// The layout of both files that this program writes and reads.
const SCHEMA_VERSION: i64 = 1;

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// N is out of range.
    #[error("a store has 1 to {MAX_SHARDS} shards, not {0}")]
    Shards(u16),
    /// There is no store here, and none was to be made.
    #[error("{} holds no store", dir.display())]
    Missing {
        /// The data directory.
        dir: PathBuf,
    },
    /// N was fixed when the store was made.
    #[error(
        "the store in {} was made with {stored} shards, which is fixed for ever, but the configuration says {asked}",
        dir.display()
    )]
    OtherShards {
        /// The data directory.
        dir: PathBuf,
        /// N of the store.
        stored: u16,
        /// N of the configuration.
        asked: u16,
    },
    /// A newer program made the file.
    #[error("{} has layout {found}, and this program knows up to {SCHEMA_VERSION}: use a newer tillstream", file.display())]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its layout.
        found: i64,
    },
    /// The log ends before what derived rows were made from: it lost decided frames, or an older copy was put in its place.
    #[error(
        "{position}: the log lost this position: {file} ends at frame {tail} of shard {shard}, but derived rows were made of \
         frame {known}; put the right {file} back, or, when an older copy was restored on purpose, delete {DERIVED_FILE}",
        file = LOG_FILE,
        shard = position.shard
    )]
    TailLost {
        /// The first position that is missing.
        position: Position,
        /// The last frame in the log.
        tail: u64,
        /// The last frame that derived rows know.
        known: u64,
    },
    /// The log's file is gone, and what was made beside it isn't.
    #[error(
        "{} holds no log, but {} is there, so there was one: put the file back, or name another data directory for a new store; \
         nothing was changed",
        file.display(), beside.display()
    )]
    LogLost {
        /// The log's file.
        file: PathBuf,
        /// One of the files beside it.
        beside: PathBuf,
    },
    /// Derived rows were made from the log of another store.
    #[error(
        "{} was made from the log of the store {theirs}, but {} is the log of the store {ours}: put back what belongs together, or \
         remove {} while no server runs: the next start makes it again from the log",
        file.display(), log.display(), file.display()
    )]
    OtherLog {
        /// The file.
        file: PathBuf,
        /// The log's file.
        log: PathBuf,
        /// Whose log the rows were made from.
        theirs: Uuid,
        /// Whose log is there.
        ours: Uuid,
    },
    /// The file can't be read or written.
    #[error("{}: {source}", file.display())]
    Storage {
        /// The file.
        file: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A file can't be removed, or a thread not be started.
    #[error("{}: {source}", file.display())]
    System {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

pub(super) fn open(dir: &Path, shards: Option<u16>) -> Result<SqliteLog, OpenError> {
    if let Some(n) = shards
        && !(1..=MAX_SHARDS).contains(&n)
    {
        return Err(OpenError::Shards(n));
    }
    let log_file = dir.join(LOG_FILE);
    if shards.is_none() && !log_file.exists() {
        return Err(OpenError::Missing { dir: dir.to_owned() });
    }
    let derived_file = dir.join(DERIVED_FILE);
    if shards.is_some() && holds_no_log(&log_file) && derived_file.exists() {
        return Err(OpenError::LogLost { file: log_file, beside: derived_file });
    }
    let (log, store) = open_log(dir, &log_file, shards)?;
    let mark = Arc::new(BrokenMark::beside(&derived_file));
    let derived = open_derived(&derived_file, &mark, store, (&log, &log_file))?;
    check_tails(&log, &log_file, &derived, &derived_file, store.shards)?;

    // It is this log's: a table that files of programs before this one lack.
    derived
        .execute_batch(include_str!("fold_snapshots.sql"))
        .map_err(|source| OpenError::Storage { file: derived_file.clone(), source })?;
    let system = |source| OpenError::System { file: log_file.clone(), source };
    let checkpointer = Checkpointer::spawn(log_file.clone()).map_err(system)?;
    let writer = writer::Writer::new(log_file.clone(), log, store, checkpointer)
        .map_err(|source| OpenError::Storage { file: log_file.clone(), source })?;
    Ok(SqliteLog {
        store,
        reads: Arc::new(ReadPool::new(log_file.clone(), derived_file)),
        lookups: Arc::default(),
        writer: WriterHandle::spawn(writer).map_err(system)?,
        derived: DbThread::spawn("derived-rows", derived).map_err(system)?,
        derived_broken: mark,
    })
}

/// Whether a log's file is missing or empty, found without touching it.
pub fn holds_no_log(file: &Path) -> bool {
    /// Where SQLite's format keeps `user_version`, which a store's schema sets; big-endian.
    const VERSION: usize = 60;
    let Ok(mut opened) = File::open(file) else { return !file.exists() };
    let mut header = [0; 100];
    if opened.read_exact(&mut header).is_err() {
        // Shorter than any database.
        return true;
    }
    // A store that was never checkpointed has its schema in the write-ahead log.
    let mut journal = file.as_os_str().to_owned();
    journal.push("-wal");
    let journal = std::fs::metadata(PathBuf::from(journal)).is_ok_and(|journal| journal.len() > 0);
    header[VERSION..VERSION + 4] == [0; 4] && header.starts_with(b"SQLite format 3\0") && !journal
}

fn open_log(dir: &Path, file: &Path, shards: Option<u16>) -> Result<(Connection, StoreInfo), OpenError> {
    let storage = |source| OpenError::Storage { file: file.to_owned(), source };
    let mut conn = open_writer(file, Durability::Fsync).map_err(storage)?;
    match schema_version(&conn).map_err(storage)? {
        0 => {
            let Some(shards) = shards else { return Err(OpenError::Missing { dir: dir.to_owned() }) };
            create_log(&mut conn, shards).map_err(storage)?;
        }
        SCHEMA_VERSION => {}
        found => return Err(OpenError::Newer { file: file.to_owned(), found }),
    }
    let store: StoreInfo = conn
        .query_row(include_str!("select_store.sql"), [], |row| {
            Ok(StoreInfo { id: Uuid::from_bytes(row.get(0)?), shards: row.get(1)? })
        })
        .map_err(storage)?;
    match shards {
        Some(asked) if asked != store.shards => {
            Err(OpenError::OtherShards { dir: dir.to_owned(), stored: store.shards, asked })
        }
        _ => Ok((conn, store)),
    }
}

fn create_log(conn: &mut Connection, shards: u16) -> rusqlite::Result<()> {
    let tx = conn.transaction()?;
    tx.execute_batch(include_str!("schema.sql"))?;
    tx.execute(include_str!("insert_store.sql"), (Uuid::new_v4().into_bytes(), shards))?;
    tx.commit()
}

/// Opens the derived rows; rows that are broken, of another layout or made from frames that the log doesn't hold are dropped, since
/// they can be made again. Those of another store are refused: it may be the log that is in the wrong place.
fn open_derived(
    file: &Path,
    mark: &BrokenMark,
    store: StoreInfo,
    (log, log_file): (&Connection, &Path),
) -> Result<Connection, OpenError> {
    let storage = |source| OpenError::Storage { file: file.to_owned(), source };
    let why = if mark.is_set() {
        "a read or write found it broken".to_owned()
    } else {
        match try_derived(file, store) {
            Ok(Derived::Fitting(conn)) => match contradicted(log, &conn, store.shards).map_err(storage)? {
                None => return Ok(conn),
                Some(slot) => format!("it was made from another {slot} than the log holds"),
            },
            Ok(Derived::OtherLog(theirs)) => {
                let (file, log) = (file.to_owned(), log_file.to_owned());
                return Err(OpenError::OtherLog { file, log, theirs, ours: store.id });
            }
            Ok(Derived::OtherLayout(why)) => why,
            Err(error) if is_broken(&error) => error.to_string(),
            Err(error) => return Err(storage(error)),
        }
    };
    tracing::warn!(file = %file.display(), reason = why, "derived rows are dropped and will be made again from the log");
    for suffix in ["", "-wal", "-shm"] {
        let mut path = file.as_os_str().to_owned();
        path.push(suffix);
        remove(Path::new(&path)).map_err(|source| OpenError::System { file: file.to_owned(), source })?;
    }
    let Derived::Fitting(conn) = try_derived(file, store).map_err(storage)? else {
        let source = io::Error::other("another program made it at the same time");
        return Err(OpenError::System { file: file.to_owned(), source });
    };
    mark.clear().map_err(|source| OpenError::System { file: file.to_owned(), source })?;
    Ok(conn)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// What was found in the file of derived rows.
enum Derived {
    Fitting(Connection),
    OtherLayout(String),
    OtherLog(Uuid),
}

fn try_derived(file: &Path, store: StoreInfo) -> rusqlite::Result<Derived> {
    let mut conn = open_writer(file, Durability::Lazy)?;
    match schema_version(&conn)? {
        0 => {
            let tx = conn.transaction()?;
            tx.execute_batch(include_str!("derived_schema.sql"))?;
            tx.execute(include_str!("derived_insert_store.sql"), [store.id.into_bytes()])?;
            tx.commit()?;
        }
        SCHEMA_VERSION => complete(&conn)?,
        other => return Ok(Derived::OtherLayout(format!("it has layout {other}"))),
    }
    let made_for: Option<[u8; 16]> =
        conn.query_row(include_str!("derived_select_store.sql"), [], |row| row.get(0)).optional()?;
    Ok(match made_for.map(Uuid::from_bytes) {
        Some(made_for) if made_for == store.id => Derived::Fitting(conn),
        Some(theirs) => Derived::OtherLog(theirs),
        None => Derived::OtherLayout("it doesn't say which log it was made from".to_owned()),
    })
}

/// Adds the columns that a file of an older program lacks.
fn complete(conn: &Connection) -> rusqlite::Result<()> {
    let there = "SELECT EXISTS (SELECT 1 FROM pragma_table_info('progress') WHERE name = 'hash')";
    if !conn.query_row(there, [], |row| row.get(0))? {
        conn.execute_batch(
            "ALTER TABLE progress ADD COLUMN marked INTEGER NOT NULL DEFAULT 0; \
             ALTER TABLE progress ADD COLUMN hash BLOB",
        )?;
    }
    Ok(())
}

/// A frame of which derived rows were made, and the log holds another one there: it was put back from an older copy and went on. What
/// the log doesn't hold at all is for [`check_tails`].
fn contradicted(log: &Connection, derived: &Connection, shards: u16) -> rusqlite::Result<Option<Slot>> {
    for shard in (0..shards).map(Shard) {
        let Some(made) = reads::select_mark(derived, shard)? else { continue };
        let slot = Slot { shard, frame: made.number };
        if reads::frame_hash(log, slot)?.is_some_and(|hash| hash != made.hash) {
            return Ok(Some(slot));
        }
    }
    Ok(None)
}

/// Derived rows are made of decided frames only, and those are durable: rows of frames that the log doesn't have mean that it
/// lost its tail. Going on would give the same positions to other events.
fn check_tails(
    log: &Connection,
    log_file: &Path,
    derived: &Connection,
    derived_file: &Path,
    shards: u16,
) -> Result<(), OpenError> {
    for shard in (0..shards).map(Shard) {
        let (tail, last_position) = reads::tail(log, shard)
            .map_err(|source| OpenError::Storage { file: log_file.to_owned(), source })?;
        let known = reads::select_progress(derived, shard)
            .map_err(|source| OpenError::Storage { file: derived_file.to_owned(), source })?
            .derived_through;
        if known > tail {
            let position = Position { shard, n: last_position + 1 };
            return Err(OpenError::TailLost { position, tail, known });
        }
    }
    Ok(())
}
