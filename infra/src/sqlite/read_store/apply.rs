//! Applying a batch in the transaction of its caller.

use std::fmt::Write as _;

use projections::mark::{Generation, Mark};
use projections::rows::{RowChange, Value};
use projections::store::{Batch, Part, StoreError};
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use super::columns::bound;
use super::{letters, origin, refused, unavailable};

/// How far the rows of a projection are, for a transaction that reads these too.
pub(in crate::sqlite) fn mark(conn: &Connection, projection: &str) -> rusqlite::Result<Mark> {
    let (seen, _) = origin::stood(conn, projection)?;
    Ok(Mark { generation: generation(conn, projection)?, seen })
}

/// Which making of a projection's rows is there.
pub(super) fn generation(conn: &Connection, projection: &str) -> rusqlite::Result<Generation> {
    let mut select = conn.prepare_cached(include_str!("select_generation.sql"))?;
    let number: Option<i64> = select.query_row([projection], |row| row.get(0)).optional()?;
    Ok(Generation::named(number.unwrap_or(0).to_string()))
}

pub(super) fn apply(conn: &Connection, batch: &Batch) -> Result<(), StoreError> {
    for part in &batch.parts {
        move_checkpoints(conn, part)?;
        letters::park(conn, part.projection, &part.letters)?;
        changes(conn, &part.changes)?;
    }
    Ok(())
}

fn move_checkpoints(conn: &Connection, part: &Part) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached(include_str!("move_checkpoint.sql")).map_err(unavailable)?;
    for moved in &part.moves {
        let frame = moved.frame;
        let params = params![part.projection, moved.shard.0, moved.from, moved.to, frame.number, frame.hash];
        if statement.execute(params).map_err(unavailable)? != 1 {
            return Err(StoreError::Moved(part.projection.to_owned()));
        }
    }
    Ok(())
}

pub(super) fn changes(conn: &Connection, changes: &[RowChange]) -> Result<(), StoreError> {
    let mut sql = String::new();
    for change in changes {
        upsert(change, &mut sql);
        let mut statement = conn.prepare_cached(&sql).map_err(refused)?;
        let version = i64::try_from(change.version).map_err(|e| StoreError::Refused(e.to_string()))?;
        let version = Value::Int(version);
        let values =
            change.key.iter().chain([&version]).chain(change.set.iter().map(|(_, value)| value)).map(bound);
        statement.execute(params_from_iter(values)).map_err(refused)?;
    }
    Ok(())
}

/// Writes the statement of a change: an insert that, for a row that is there, sets the group's columns if the version is above
/// the row's.
fn upsert(change: &RowChange, sql: &mut String) {
    let (table, group) = (change.table.name, change.group);
    sql.clear();
    // Writing to a string can't fail.
    let _ = write!(sql, "INSERT INTO \"{table}\" (");
    for key in change.table.key {
        let _ = write!(sql, "\"{}\", ", key.name);
    }
    let _ = write!(sql, "\"{group}_version\"");
    for (name, _) in &change.set {
        let _ = write!(sql, ", \"{name}\"");
    }
    let _ = write!(sql, ") VALUES (?1");
    for n in 2..=change.key.len() + 1 + change.set.len() {
        let _ = write!(sql, ", ?{n}");
    }
    let _ = write!(sql, ") ON CONFLICT DO UPDATE SET \"{group}_version\" = excluded.\"{group}_version\"");
    for (name, _) in &change.set {
        let _ = write!(sql, ", \"{name}\" = excluded.\"{name}\"");
    }
    let _ = write!(sql, " WHERE excluded.\"{group}_version\" > \"{table}\".\"{group}_version\"");
}
