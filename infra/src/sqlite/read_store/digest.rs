//! The digest of a projection's tables.

use domain::merkle::Hash;
use projections::engine::digest::RowDigest;
use projections::engine::model::Projection;
use projections::engine::rows::{ColumnKind, Table};
use rusqlite::Connection;

use super::columns::value;
use super::schema::key_list;

pub(super) fn digest(conn: &Connection, projection: &dyn Projection) -> rusqlite::Result<Hash> {
    let mut digest = RowDigest::default();
    for table in projection.tables() {
        digest.table(table.name);
        let columns = columns(table);
        let names: Vec<String> = columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let sql = format!("SELECT {} FROM \"{}\" ORDER BY {}", names.join(", "), table.name, key_list(table));
        let mut statement = conn.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut values = Vec::with_capacity(columns.len());
        while let Some(row) = rows.next()? {
            values.clear();
            for (index, (_, kind)) in columns.iter().enumerate() {
                values.push(value(row, index, *kind)?);
            }
            digest.row(values.iter());
        }
    }
    Ok(digest.finish())
}

/// The columns in the digest's order: key, then for each group its version and its columns.
pub(super) fn columns(table: &Table) -> Vec<(String, ColumnKind)> {
    let mut columns: Vec<_> = table.key.iter().map(|c| (c.name.to_owned(), c.kind)).collect();
    for group in table.groups {
        columns.push((format!("{}_version", group.name), ColumnKind::Int));
        columns.extend(group.columns.iter().map(|c| (c.name.to_owned(), c.kind)));
    }
    columns
}
