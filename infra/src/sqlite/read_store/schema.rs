//! Tables from the projections' definitions.

use std::fmt::Write as _;

use projections::model::Projection;
use projections::rows::{Column, Table};
use rusqlite::{Connection, OptionalExtension, params};

use super::columns::sql_type;

/// The secondary indexes of a projection's tables; adding one needs no rebuild.
fn indexes(projection: &str) -> &'static str {
    match projection {
        "events" => include_str!("indexes/events.sql"),
        "orders" => include_str!("indexes/orders.sql"),
        "payments" => include_str!("indexes/payments.sql"),
        "products" => include_str!("indexes/products.sql"),
        "sagas" => include_str!("indexes/sagas.sql"),
        "shipments" => include_str!("indexes/shipments.sql"),
        _ => "",
    }
}

/// Makes the tables; empties a projection of another version or shape first.
pub(super) fn prepare(conn: &Connection, projection: &dyn Projection, shards: u16) -> rusqlite::Result<()> {
    let name = projection.name();
    let ddl: String = projection.tables().iter().map(|table| create_table(table)).collect();
    let stored: Option<(u32, String, String)> = conn
        .query_row("SELECT version, ddl, table_names FROM projections WHERE name = ?1", [name], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let current = stored
        .as_ref()
        .is_some_and(|(version, stored, _)| *version == projection.version() && *stored == ddl);
    if !current {
        if let Some((version, _, tables)) = stored {
            tracing::info!(
                projection = name,
                from = version,
                to = projection.version(),
                "building the projection anew"
            );
            let tables: Vec<String> = serde_json::from_str(&tables).unwrap_or_default();
            for table in tables {
                conn.execute_batch(&format!("DROP TABLE IF EXISTS \"{table}\""))?;
            }
        }
        conn.execute("DELETE FROM checkpoints WHERE projection = ?1", [name])?;
        conn.execute("DELETE FROM dead_letters WHERE projection = ?1", [name])?;
        conn.execute_batch(&ddl)?;
        let names: Vec<&str> = projection.tables().iter().map(|table| table.name).collect();
        conn.execute(
            "INSERT OR REPLACE INTO projections (name, version, ddl, table_names) VALUES (?1, ?2, ?3, ?4)",
            params![name, projection.version(), ddl, serde_json::json!(names).to_string()],
        )?;
    }
    conn.execute_batch(indexes(name))?;
    for shard in 0..shards {
        conn.execute(include_str!("insert_checkpoint.sql"), params![name, shard])?;
    }
    Ok(())
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

/// `"tenant", "order_id"`
pub(super) fn key_list(table: &Table) -> String {
    let names: Vec<String> = table.key.iter().map(|c| format!("\"{}\"", c.name)).collect();
    names.join(", ")
}
