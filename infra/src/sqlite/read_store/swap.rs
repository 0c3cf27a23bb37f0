//! Comparing with, and taking over, tables that were built beside the live ones.

use std::path::Path;
use std::sync::Arc;

use projections::engine::model::{Projection, create_indexes};
use projections::engine::rows::ColumnKind;
use projections::engine::store::StoreError;
use rusqlite::Connection;

use super::schema::make;
use super::{SqliteReadStore, unavailable};
use crate::read_sql::key_list;
use crate::rebuild::{Difference, RowDifference};

/// Rows shown per table.
const EXAMPLES: usize = 5;

/// How a table differs from the one built beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDifference {
    /// Rows of the one built beside it.
    pub rows: u64,
    /// Keys that only the live one has.
    pub only_live: u64,
    /// Keys that only the other one has.
    pub only_built: u64,
    /// Keys whose rows differ.
    pub changed: u64,
    /// Some of these.
    pub examples: Vec<RowDifference>,
}

impl TableDifference {
    /// All rows that differ.
    #[must_use]
    pub fn differing(&self) -> u64 {
        self.only_live + self.only_built + self.changed
    }
}

impl SqliteReadStore {
    /// Compares a projection's tables with those in another file, row by row.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn compare(
        &self,
        projection: &Arc<dyn Projection>,
        fresh: &Path,
    ) -> Result<Vec<TableDifference>, StoreError> {
        let (projection, fresh) = (Arc::clone(projection), fresh.to_owned());
        let job = self
            .writer
            .run(move |conn| attached(conn, &fresh, |conn| differences(conn, projection.as_ref())));
        job.await.map_err(|e| StoreError::Unavailable(e.to_string()))?
    }

    /// Replaces rows, checkpoints and dead letters of projections by those in another file, in one transaction; of
    /// `letters_of`, which keep their rows elsewhere, the dead letters only.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: nothing was replaced.
    pub async fn take_over(
        &self,
        projections: &[Arc<dyn Projection>],
        letters_of: &[&'static str],
        fresh: &Path,
    ) -> Result<(), StoreError> {
        let (projections, letters_of, fresh) = (projections.to_vec(), letters_of.to_vec(), fresh.to_owned());
        let job = self.writer.run(move |conn| {
            attached(conn, &fresh, |conn| {
                let tx = conn.unchecked_transaction()?;
                for projection in &projections {
                    replace_rows(&tx, projection.as_ref())?;
                    replace_of(&tx, "checkpoints", projection.name())?;
                    replace_of(&tx, "dead_letters", projection.name())?;
                }
                for name in letters_of {
                    replace_of(&tx, "dead_letters", name)?;
                }
                tx.commit()
            })
        });
        job.await.map_err(|e| StoreError::Unavailable(e.to_string()))?
    }
}

/// Runs a job with the other file attached as `fresh`.
fn attached<T>(
    conn: &Connection,
    fresh: &Path,
    job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T, StoreError> {
    let file = fresh.to_str().ok_or_else(|| StoreError::Unavailable("the path is not utf-8".to_owned()))?;
    conn.execute("ATTACH DATABASE ?1 AS fresh", [file]).map_err(unavailable)?;
    let answer = job(conn);
    // Statements that name the attached file must not outlive it.
    conn.flush_prepared_statement_cache();
    let detached = conn.execute_batch("DETACH DATABASE fresh");
    let answer = answer.map_err(unavailable)?;
    detached.map_err(unavailable)?;
    Ok(answer)
}

fn differences(conn: &Connection, projection: &dyn Projection) -> rusqlite::Result<Vec<TableDifference>> {
    let mut found = Vec::new();
    for table in projection.tables() {
        let columns: Vec<String> = table.columns().map(|(name, _)| format!("\"{name}\"")).collect();
        let (all, key, name) = (columns.join(", "), key_list(table), table.name);
        let shown: Vec<String> = table.key.iter().map(|key| shown(key.name, key.kind)).collect();
        let shown = shown.join(" || '/' || ");
        let except = |list: &str, a: &str, b: &str| {
            format!("SELECT {list} FROM {a}.\"{name}\" EXCEPT SELECT {list} FROM {b}.\"{name}\"")
        };
        let (live, built) = (except(&key, "main", "fresh"), except(&key, "fresh", "main"));
        // In both, and not the same.
        let changed = format!(
            "SELECT {key} FROM ({}) INTERSECT SELECT {key} FROM fresh.\"{name}\"",
            except(&all, "main", "fresh")
        );
        let count = |sql: &str| -> rusqlite::Result<u64> {
            conn.query_row(&format!("SELECT count(*) FROM ({sql})"), [], |row| row.get(0))
        };
        let mut examples = Vec::new();
        for (sql, difference) in [
            (&live, Difference::OnlyLive),
            (&built, Difference::OnlyBuilt),
            (&changed, Difference::Changed { columns: Vec::new() }),
        ] {
            let limit = EXAMPLES - examples.len();
            let mut statement =
                conn.prepare(&format!("SELECT {shown} FROM ({sql}) ORDER BY 1 LIMIT {limit}"))?;
            for key in statement.query_map([], |row| row.get(0))? {
                examples.push(RowDifference { table: name, key: key?, difference: difference.clone() });
            }
        }
        found.push(TableDifference {
            rows: count(&format!("SELECT 1 FROM fresh.\"{name}\""))?,
            only_live: count(&live)?,
            only_built: count(&built)?,
            changed: count(&changed)?,
            examples,
        });
    }
    Ok(found)
}

/// A key's column, for people.
fn shown(name: &str, kind: ColumnKind) -> String {
    if kind != ColumnKind::Uuid {
        return format!("\"{name}\"");
    }
    let part = |from: u8, count: u8| format!("substr(lower(hex(\"{name}\")), {from}, {count})");
    [part(1, 8), part(9, 4), part(13, 4), part(17, 4), part(21, 12)].join(" || '-' || ")
}

/// Makes the tables anew, since those before may be of another version, and fills them.
fn replace_rows(conn: &Connection, projection: &dyn Projection) -> rusqlite::Result<()> {
    make(conn, projection)?;
    for table in projection.tables() {
        let columns: Vec<String> = table.columns().map(|(name, _)| format!("\"{name}\"")).collect();
        let (all, name) = (columns.join(", "), table.name);
        conn.execute_batch(&format!(
            "INSERT INTO main.\"{name}\" ({all}) SELECT {all} FROM fresh.\"{name}\""
        ))?;
    }
    conn.execute_batch(&create_indexes(projection))
}

fn replace_of(conn: &Connection, table: &str, projection: &str) -> rusqlite::Result<()> {
    conn.execute(&format!("DELETE FROM main.{table} WHERE projection = ?1"), [projection])?;
    let take = format!("INSERT INTO main.{table} SELECT * FROM fresh.{table} WHERE projection = ?1");
    conn.execute(&take, [projection])?;
    Ok(())
}
