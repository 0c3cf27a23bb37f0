//! What is there, as the system's tables say now. Not as names are resolved (`to_regclass`, `to_regnamespace`): a connection remembers how a
//! name was resolved, and one that has waited for a lock remembers what was before somebody else had it.

use sqlx::PgConnection;

/// Whether there is a schema of this name.
pub(super) async fn has_schema(conn: &mut PgConnection, schema: &str) -> sqlx::Result<bool> {
    let exists = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1)";
    sqlx::query_scalar(exists).bind(schema).fetch_one(conn).await
}

/// Whether a schema has a table of this name.
pub(super) async fn has_table(conn: &mut PgConnection, schema: &str, table: &str) -> sqlx::Result<bool> {
    let exists = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                  WHERE n.nspname = $1 AND c.relname = $2)";
    sqlx::query_scalar(exists).bind(schema).bind(table).fetch_one(conn).await
}
