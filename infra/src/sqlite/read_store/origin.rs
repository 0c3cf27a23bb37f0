//! What the rows were made from.

use std::path::Path;

use domain::frame::FrameId;
use domain::position::{Position, Seen, Shard};
use projections::engine::origin::Mark;
use projections::engine::store::{Loaded, StoreError};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{apply, columns, letters, unavailable};
use crate::sqlite::connection::open_untouched;

/// Adds the columns that a file of an older program lacks.
pub(super) fn complete(conn: &Connection) -> rusqlite::Result<()> {
    for (table, column, kind) in [
        ("store", "log", "BLOB"),
        ("checkpoints", "marked", "INTEGER"),
        ("checkpoints", "frame", "INTEGER"),
        ("checkpoints", "hash", "BLOB"),
    ] {
        let there: bool = conn.query_row(
            "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)",
            [table, column],
            |row| row.get(0),
        )?;
        if !there {
            conn.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} {kind}"))?;
        }
    }
    Ok(())
}

/// The store whose log the rows were made from; `None` before the first were, and in a file of an older program.
pub(super) fn log(conn: &Connection) -> rusqlite::Result<Option<Uuid>> {
    conn.query_row("SELECT log FROM store", [], |row| columns::optional_uuid(row, 0))
}

/// Refuses a file that was made from another store's log, without touching it. One that can't be read is no concern of this.
///
/// # Errors
/// [`StoreError::OtherLog`].
pub fn refuse_other(file: &Path, ours: Uuid) -> Result<(), StoreError> {
    match looked_at(file, log) {
        Some(Some(theirs)) => compare(file, theirs, ours),
        _ => Ok(()),
    }
}

/// Whether a file holds rows of any event, found without touching it.
#[must_use]
pub fn has_applied(file: &Path) -> bool {
    let applied = "SELECT EXISTS (SELECT 1 FROM checkpoints WHERE position > 0)";
    looked_at(file, |conn| conn.query_row(applied, [], |row| row.get(0))).unwrap_or(false)
}

fn looked_at<T>(file: &Path, look: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Option<T> {
    if !file.is_file() {
        return None;
    }
    open_untouched(file).and_then(|conn| look(&conn)).ok()
}

/// Has the file belong to a log, unless it belongs to another one.
pub(super) fn bind(conn: &Connection, file: &Path, ours: Uuid) -> Result<(), StoreError> {
    match log(conn).map_err(unavailable)? {
        Some(theirs) => compare(file, theirs, ours),
        None => {
            let bound = conn.execute("UPDATE store SET log = ?1", params![ours.as_bytes()]);
            bound.map(|_| ()).map_err(unavailable)
        }
    }
}

/// Whether the file belongs to a log.
fn compare(file: &Path, theirs: Uuid, ours: Uuid) -> Result<(), StoreError> {
    if theirs == ours {
        return Ok(());
    }
    let what = file.display().to_string();
    let way_out = format!("remove {what} while no server runs: the next start makes it again from the log");
    Err(StoreError::OtherLog { what, theirs, ours, way_out })
}

/// Where a projection's checkpoints stand, and what was applied up to there; nothing for one that was never prepared.
pub(super) fn stood(conn: &Connection, projection: &str) -> rusqlite::Result<(Seen, Vec<Mark>)> {
    let mut statement = conn.prepare_cached(include_str!("select_checkpoints.sql"))?;
    let rows = statement.query_map([projection], |row| {
        let shard = Shard(row.get(0)?);
        let (marked, number, hash): (Option<u64>, Option<u64>, Option<[u8; 32]>) =
            (row.get(2)?, row.get(3)?, row.get(4)?);
        let mark = marked.zip(number).zip(hash).map(|((n, number), hash)| Mark {
            position: Position { shard, n },
            frame: FrameId { number, hash },
        });
        Ok((Position { shard, n: row.get(1)? }, mark))
    })?;
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let mut seen = Seen::none(u16::try_from(rows.len()).unwrap_or(u16::MAX));
    rows.iter().for_each(|(position, _)| seen.advance(*position));
    Ok((seen, rows.into_iter().filter_map(|(_, mark)| mark).collect()))
}

/// The same with its dead letters.
pub(super) fn loaded(conn: &Connection, projection: &str) -> rusqlite::Result<Loaded> {
    let (seen, marks) = stood(conn, projection)?;
    let (parked, letters) = letters::parked(conn, projection)?;
    let generation = apply::generation(conn, projection)?;
    Ok(Loaded { generation, seen, foreign: None, parked, letters, marks })
}

/// The id of the event that the rows of the projection `events` have at a position.
pub(super) fn event_at(conn: &Connection, at: Position) -> rusqlite::Result<Option<Uuid>> {
    let there: bool = conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'events')",
        [],
        |row| row.get(0),
    )?;
    if !there {
        return Ok(None);
    }
    let select = "SELECT event_id FROM events WHERE shard = ?1 AND n = ?2";
    conn.query_row(select, params![at.shard.0, at.n], |row| columns::uuid(row, 0)).optional()
}
