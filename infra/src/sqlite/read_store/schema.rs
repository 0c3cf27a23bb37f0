//! Tables from the projections' definitions.

use std::fmt::Write as _;

use projections::engine::model::{Projection, create_indexes};
use projections::engine::rows::{Column, Table};
use rusqlite::{Connection, OptionalExtension, params};

use super::columns::sql_type;
use crate::read_sql::key_list;

/// The rows of a projection as they were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Made {
    /// The projection's version.
    pub(super) version: u32,
    /// The statements that made its tables.
    pub(super) ddl: String,
}

impl Made {
    /// What this program would make.
    pub(super) fn by(projection: &dyn Projection) -> Self {
        let ddl = projection.tables().iter().map(|table| create_table(table)).collect();
        Self { version: projection.version(), ddl }
    }

    pub(super) fn stored(conn: &Connection, projection: &str) -> rusqlite::Result<Option<Self>> {
        let mut select = conn.prepare_cached("SELECT version, ddl FROM projections WHERE name = ?1")?;
        select.query_row([projection], |row| Ok(Self { version: row.get(0)?, ddl: row.get(1)? })).optional()
    }

    /// Why rows that were made like this aren't to be written by a program that makes them otherwise.
    pub(super) fn foreign(&self, projection: &str, ours: &Self) -> Option<String> {
        (self != ours).then(|| {
            let (theirs, ours) = (self.version, ours.version);
            format!(
                "the rows of {projection} are of version {theirs}; version {ours} is being filled beside them"
            )
        })
    }
}

/// Empties a projection.
pub(super) fn renew(conn: &Connection, projection: &dyn Projection, shards: u16) -> rusqlite::Result<()> {
    make(conn, projection)?;
    prepare(conn, projection, shards)
}

/// Makes the tables of a projection that has none. Others stay as they are, whatever their version.
pub(super) fn prepare(conn: &Connection, projection: &dyn Projection, shards: u16) -> rusqlite::Result<()> {
    let name = projection.name();
    match Made::stored(conn, name)? {
        None => make(conn, projection)?,
        Some(made) if made != Made::by(projection) => return Ok(()),
        Some(_) => {}
    }
    conn.execute_batch(&create_indexes(projection))?;
    for shard in 0..shards {
        conn.execute(include_str!("insert_checkpoint.sql"), params![name, shard])?;
    }
    Ok(())
}

/// Makes empty tables, without secondary indexes, in place of what is there.
pub(super) fn make(conn: &Connection, projection: &dyn Projection) -> rusqlite::Result<()> {
    let (name, made) = (projection.name(), Made::by(projection));
    let before: Option<String> = conn
        .query_row("SELECT table_names FROM projections WHERE name = ?1", [name], |row| row.get(0))
        .optional()?;
    let before: Vec<String> = before.and_then(|names| serde_json::from_str(&names).ok()).unwrap_or_default();
    for table in before {
        conn.execute_batch(&format!("DROP TABLE IF EXISTS main.\"{table}\""))?;
    }
    conn.execute("DELETE FROM checkpoints WHERE projection = ?1", [name])?;
    conn.execute("DELETE FROM dead_letters WHERE projection = ?1", [name])?;
    conn.execute_batch(&made.ddl)?;
    begin_anew(conn, name)?;
    let names: Vec<&str> = projection.tables().iter().map(|table| table.name).collect();
    conn.execute(
        "INSERT OR REPLACE INTO projections (name, version, ddl, table_names) VALUES (?1, ?2, ?3, ?4)",
        params![name, made.version, made.ddl, serde_json::json!(names).to_string()],
    )?;
    Ok(())
}

/// Counts a new making of a projection's rows.
fn begin_anew(conn: &Connection, projection: &str) -> rusqlite::Result<()> {
    conn.execute(include_str!("next_generation.sql"), [projection]).map(|_| ())
}

fn create_table(table: &Table) -> String {
    let mut sql = format!("CREATE TABLE \"{}\" (", table.name);
    let column = |sql: &mut String, column: &Column, more: &str| {
        // Writing to a string can't fail.
        let _ = write!(sql, "\"{}\" {}{more}, ", column.name, sql_type(column.kind));
    };
    for key in table.key {
        column(&mut sql, key, " NOT NULL");
    }
    for group in table.groups {
        let _ = write!(sql, "\"{}_version\" INTEGER NOT NULL DEFAULT 0, ", group.name);
        for set in group.columns {
            column(&mut sql, set, "");
        }
    }
    let _ = writeln!(sql, "PRIMARY KEY ({})) STRICT;", key_list(table));
    sql
}
