//! The rows that a question asks for.

use std::collections::HashMap;

use projections::engine::query::{Row, Select};
use projections::engine::rows::{Table, Value};
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, params_from_iter};

use crate::read_sql::{Dialect, Parameter, Statement};
use crate::sqlite::read_store::columns::{bound, value};

/// Parameters that one statement takes at most, of the 32,766 that SQLite allows.
const PARAMETERS: usize = 10_000;

/// The rows, with what belongs to them; a table has a key. Both are of one snapshot when the connection reads in one.
pub(super) fn select(conn: &Connection, select: &Select) -> rusqlite::Result<Vec<Row>> {
    let found = values(conn, &Statement::select(select, Dialect::Sqlite), select.table)?;
    let width = select.table.key.len();
    let mut children: Vec<Vec<Vec<Row>>> = vec![Vec::new(); found.len()];
    for child in select.children {
        let mut of: HashMap<Vec<Value>, Vec<Row>> = HashMap::new();
        // A list is of one tenant, so this is one statement.
        for alike in found.chunk_by(|one, other| one[..width - 1] == other[..width - 1]) {
            for some in alike.chunks(PARAMETERS) {
                let last = some.iter().map(|row| row[width - 1].clone()).collect();
                let statement = Statement::children_of(&some[0][..width - 1], last, select.table, child);
                for row in values(conn, &statement, child.table)? {
                    let parent = row[..width].to_vec();
                    of.entry(parent).or_default().push(Row::new(child.table, row, Vec::new()));
                }
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
    let rows = prepared.query_map(params_from_iter(parameters(statement)), |row| {
        kinds.iter().enumerate().map(|(at, kind)| value(row, at, *kind)).collect()
    })?;
    rows.collect()
}

fn parameters(statement: &Statement) -> impl Iterator<Item = ToSqlOutput<'_>> {
    statement.parameters.iter().flat_map(|parameter| match parameter {
        Parameter::One(value) => std::slice::from_ref(value).iter().map(bound),
        Parameter::Any(values) => values.iter().map(bound),
    })
}

/// How SQLite goes about a question; steps to the rows that belong to others begin with their table's name.
pub(super) fn plan(conn: &Connection, select: &Select) -> rusqlite::Result<Vec<String>> {
    let mut steps = explained(conn, Statement::select(select, Dialect::Sqlite))?;
    for child in select.children {
        let (same, last) = (vec![Value::Null; select.table.key.len() - 1], vec![Value::Null; 2]);
        let more = explained(conn, Statement::children_of(&same, last, select.table, child))?;
        steps.extend(more.into_iter().map(|step| format!("{}: {step}", child.table.name)));
    }
    Ok(steps)
}

fn explained(conn: &Connection, statement: Statement) -> rusqlite::Result<Vec<String>> {
    let statement = statement.explained();
    let mut prepared = conn.prepare(&statement.sql)?;
    let steps = prepared.query_map(params_from_iter(parameters(&statement)), |row| row.get(3))?;
    steps.collect()
}
