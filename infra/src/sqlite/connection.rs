//! How Tillstream opens its SQLite files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// The disk: what was committed survives a power cut.
    Fsync,
    /// Nothing: a power cut may lose the last commits, never the file. For rows that can be made again.
    Lazy,
}

/// Checkpoint after this many pages (about 40 MiB): measured, the default of 1,000 costs a quarter of the throughput.
const CHECKPOINT_PAGES: u32 = 10_000;
const JOURNAL_SIZE_LIMIT: u32 = 64 << 20;
/// Only one process has the directory, so waiting for a lock means waiting for one of our own short transactions.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens a file for writing, making it when it isn't there.
pub(super) fn open_writer(path: &Path, durability: Durability) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(as_path(path), flags)?;
    names_are_names(&conn)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match durability {
        Durability::Fsync => "FULL",
        Durability::Lazy => "NORMAL",
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    conn.pragma_update(None, "journal_size_limit", JOURNAL_SIZE_LIMIT)?;
    conn.pragma_update(None, "cache_size", -32_768)?;
    conn.set_prepared_statement_cache_capacity(32);
    Ok(conn)
}

/// A name that is quoted is a name: else one that no table has would be read as a text of these letters.
pub(crate) fn names_are_names(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    Ok(())
}

/// SQLite, as it is built in, takes a name that begins with `file:` for a URI. An absolute path never does.
pub(crate) fn as_path(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Opens a file for reading beside its writer.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(
        as_path(path),
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    names_are_names(&conn)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(32);
    Ok(conn)
}

/// Opens a file for a look that leaves no trace, not even the files that SQLite keeps beside one; nobody may write to it meanwhile. Where
/// a write-ahead log was left behind it must be read too, and then it is opened as by any reader.
pub(super) fn open_untouched(path: &Path) -> rusqlite::Result<Connection> {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-wal");
    if std::fs::metadata(Path::new(&journal)).is_ok_and(|journal| journal.len() > 0) {
        return open_reader(path);
    }
    let Some(name) = path.to_str() else { return open_reader(path) };
    let name = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let conn = Connection::open_with_flags(
        format!("file:{name}?immutable=1"),
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    names_are_names(&conn)?;
    Ok(conn)
}

/// The file's own version number; 0 for a file without a schema.
pub(super) fn schema_version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Whether the file's contents are broken, rather than the disk full or the file out of reach.
pub(super) fn is_broken(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: QRY-1
    #[test]
    fn a_column_that_is_not_there_is_an_error_and_no_text() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.db");
        let writer = open_writer(&file, Durability::Lazy).unwrap();
        writer.execute_batch("CREATE TABLE t (a TEXT) STRICT; INSERT INTO t VALUES ('x')").unwrap();
        writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        for conn in [open_reader(&file).unwrap(), open_untouched(&file).unwrap(), writer] {
            let found = conn.query_row("SELECT \"b\" FROM t", [], |row| row.get::<_, String>(0));
            assert!(found.is_err(), "{found:?}");
        }
    }
}
