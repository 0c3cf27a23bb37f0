//! The digest of a generation's tables.

use domain::merkle::Hash;
use futures::TryStreamExt as _;
use projections::engine::digest::RowDigest;
use projections::engine::model::Projection;
use sqlx::PgConnection;

use super::columns::{selected, value};
use crate::read_sql::key_list;

/// Digests the rows of the physical schema as the connection's transaction sees them.
pub(in crate::postgres) async fn digest(
    conn: &mut PgConnection,
    physical: &str,
    projection: &dyn Projection,
) -> sqlx::Result<Hash> {
    let mut digest = RowDigest::default();
    for table in projection.tables() {
        digest.table(table.name);
        let columns: Vec<_> = table.columns().collect();
        let names: Vec<String> = columns.iter().map(|(name, kind)| selected(name, *kind)).collect();
        let (names, name, key) = (names.join(", "), table.name, key_list(table));
        let sql = format!("SELECT {names} FROM {physical}.\"{name}\" ORDER BY {key}");
        let mut rows = sqlx::query(&sql).persistent(false).fetch(&mut *conn);
        let mut values = Vec::with_capacity(columns.len());
        while let Some(row) = rows.try_next().await? {
            values.clear();
            for (index, (_, kind)) in columns.iter().enumerate() {
                values.push(value(&row, index, *kind)?);
            }
            digest.row(values.iter());
        }
    }
    Ok(digest.finish())
}
