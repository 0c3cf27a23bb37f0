//! The rows of `keys.db`.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::OpenKeysError;
use crate::sqlite::connection::{Durability, open_writer, schema_version};
use crate::subject_keys::{BlindKey, Subject};

const SCHEMA_VERSION: i64 = 1;

pub(super) fn open(file: &Path, make: bool) -> Result<(Connection, BlindKey), OpenKeysError> {
    let missing = || OpenKeysError::Missing { file: file.to_owned() };
    if !make && !file.exists() {
        return Err(missing());
    }
    let storage = |source| OpenKeysError::Storage { file: file.to_owned(), source };
    let mut conn = open_writer(file, Durability::Fsync).map_err(storage)?;
    conn.pragma_update(None, "secure_delete", "ON").map_err(storage)?;
    match schema_version(&conn).map_err(storage)? {
        0 if !make => return Err(missing()),
        0 => create(&mut conn).map_err(storage)?,
        SCHEMA_VERSION => {}
        found => return Err(OpenKeysError::Newer { file: file.to_owned(), found }),
    }
    let blind: [u8; 32] =
        conn.query_row(include_str!("select_blind_key.sql"), [], |row| row.get(0)).map_err(storage)?;
    // An erasure that was cut off before it emptied the write-ahead log is finished here.
    empty_journal(&conn).map_err(storage)?;
    Ok((conn, BlindKey::new(&blind)))
}

fn create(conn: &mut Connection) -> rusqlite::Result<()> {
    let tx = conn.transaction()?;
    tx.execute_batch(include_str!("schema.sql"))?;
    tx.execute(include_str!("insert_blind_key.sql"), [rand::random::<[u8; 32]>()])?;
    tx.commit()
}

/// Copies the write-ahead log into the file and truncates it.
fn empty_journal(conn: &Connection) -> rusqlite::Result<()> {
    let busy: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy == 0 {
        return Ok(());
    }
    let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    Err(rusqlite::Error::SqliteFailure(busy, Some("the write-ahead log can't be emptied".to_owned())))
}

pub(super) fn find(conn: &mut Connection, subject: &str) -> rusqlite::Result<Option<Subject>> {
    select(conn, subject)
}

fn select(conn: &Connection, subject: &str) -> rusqlite::Result<Option<Subject>> {
    let mut statement = conn.prepare_cached(include_str!("select_key.sql"))?;
    let key: Option<Option<[u8; 32]>> = statement.query_row([subject], |row| row.get(0)).optional()?;
    Ok(key.map(Subject::stored))
}

pub(super) fn find_or_make(conn: &mut Connection, subject: &str) -> rusqlite::Result<Subject> {
    if let Some(found) = select(conn, subject)? {
        return Ok(found);
    }
    let bytes: [u8; 32] = rand::random();
    // The statement is its own transaction, and its commit waits for the disk: nothing is sealed under a key that could be lost.
    conn.prepare_cached(include_str!("insert_key.sql"))?.execute((subject, bytes))?;
    Ok(Subject::stored(Some(bytes)))
}

/// Repeating it is harmless, and finishes an erasure that failed between its two steps.
pub(super) fn destroy(conn: &mut Connection, subject: &str) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute(include_str!("erase_key.sql"), [subject])?;
    tx.commit()?;
    empty_journal(conn)
}
