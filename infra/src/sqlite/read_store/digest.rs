//! The digest of a projection's tables.

use domain::merkle::Hash;
use projections::engine::digest::RowDigest;
use projections::engine::model::Projection;
use rusqlite::Connection;

use super::columns::value;
use crate::read_sql::key_list;

pub(super) fn digest(conn: &Connection, projection: &dyn Projection) -> rusqlite::Result<Hash> {
    let mut digest = RowDigest::default();
    for table in projection.tables() {
        digest.table(table.name);
        let columns: Vec<_> = table.columns().collect();
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
