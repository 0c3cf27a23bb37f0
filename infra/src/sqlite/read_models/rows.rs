//! The rows that a question asks for.

use std::collections::HashMap;

use projections::engine::query::{Row, Select};
use projections::engine::rows::{Table, Value};
use rusqlite::{Connection, params_from_iter};

use crate::read_sql::{Dialect, Statement};
use crate::sqlite::read_store::columns::{bound, value};

/// Parameters that one statement takes at most, of the 32,766 that SQLite allows.
const PARAMETERS: usize = 10_000;

/// The rows, with what belongs to them. Both are of one snapshot when the connection reads in one.
pub(super) fn select(conn: &Connection, select: &Select) -> rusqlite::Result<Vec<Row>> {
    let found = values(conn, &Statement::select(select, Dialect::Sqlite), select.table)?;
    let width = select.table.key.len();
    let mut children: Vec<Vec<Vec<Row>>> = vec![Vec::new(); found.len()];
    for child in select.children {
        let mut of: HashMap<Vec<Value>, Vec<Row>> = HashMap::new();
        for some in found.chunks((PARAMETERS / width.max(1)).max(1)) {
            let keys: Vec<&[Value]> = some.iter().map(|row| &row[..width]).collect();
            for row in values(conn, &Statement::children_of(&keys, select.table, child), child.table)? {
                let parent = row[..width].to_vec();
                of.entry(parent).or_default().push(Row::new(child.table, row, Vec::new()));
            }
        }
        for (row, children) in found.iter().zip(&mut children) {
            children.push(of.remove(&row[..width]).unwrap_or_default());
        }
    }
    let rows = found.into_iter().zip(children);
    Ok(rows.map(|(values, children)| Row::new(select.table, values, children)).collect())
}

fn values(
    conn: &Connection,
    statement: &Statement,
    table: &'static Table,
) -> rusqlite::Result<Vec<Vec<Value>>> {
    let kinds: Vec<_> = table.columns().map(|(_, kind)| kind).collect();
    let mut prepared = conn.prepare_cached(&statement.sql)?;
    let rows = prepared.query_map(params_from_iter(statement.parameters.iter().map(bound)), |row| {
        kinds.iter().enumerate().map(|(at, kind)| value(row, at, *kind)).collect()
    })?;
    rows.collect()
}

/// How SQLite goes about a question.
pub(super) fn plan(conn: &Connection, statement: Statement) -> rusqlite::Result<Vec<String>> {
    let statement = statement.explained();
    let mut prepared = conn.prepare(&statement.sql)?;
    let steps =
        prepared.query_map(params_from_iter(statement.parameters.iter().map(bound)), |row| row.get(3))?;
    steps.collect()
}
