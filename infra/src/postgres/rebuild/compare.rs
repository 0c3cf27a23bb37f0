//! Row-level differences of two generations, in one snapshot.

use projections::engine::model::Projection;
use projections::engine::rows::{ColumnKind, Table};
use sqlx::{PgConnection, Row};

use crate::read_sql::key_list;
use crate::rebuild::{Difference, RowDifference};

/// Rows shown per table.
const EXAMPLES: i64 = 5;

/// What was found in all tables of a projection.
#[derive(Debug, Default)]
pub(super) struct Differences {
    /// Rows of the new generation.
    pub(super) rows: u64,
    pub(super) only_live: u64,
    pub(super) only_built: u64,
    pub(super) changed: u64,
    pub(super) examples: Vec<RowDifference>,
}

impl Differences {
    pub(super) fn count(&self) -> u64 {
        self.only_live + self.only_built + self.changed
    }
}

pub(super) async fn rows(
    conn: &mut PgConnection,
    projection: &dyn Projection,
    built: &str,
) -> sqlx::Result<u64> {
    let mut rows = 0;
    for table in projection.tables() {
        let sql = format!("SELECT count(*) FROM {built}.\"{}\"", table.name);
        rows +=
            sqlx::query_scalar::<_, i64>(&sql).persistent(false).fetch_one(&mut *conn).await?.unsigned_abs();
    }
    Ok(rows)
}

pub(super) async fn differences(
    conn: &mut PgConnection,
    projection: &dyn Projection,
    live: &str,
    built: &str,
) -> sqlx::Result<Differences> {
    let mut found = Differences::default();
    for table in projection.tables() {
        let compared = Compared::new(table, live, built);
        let counts = sqlx::query(&compared.counts()).persistent(false).fetch_one(&mut *conn).await?;
        let count = |name: &str| Ok::<_, sqlx::Error>(counts.try_get::<i64, _>(name)?.unsigned_abs());
        let before = found.count();
        found.rows += count("rows")?;
        found.only_live += count("only_live")?;
        found.only_built += count("only_built")?;
        found.changed += count("changed")?;
        if found.count() == before {
            continue;
        }
        for row in sqlx::query(&compared.examples()).persistent(false).fetch_all(&mut *conn).await? {
            let difference = match (row.try_get("in_live")?, row.try_get("in_built")?) {
                (true, false) => Difference::OnlyLive,
                (false, true) => Difference::OnlyBuilt,
                _ => Difference::Changed { columns: row.try_get("columns")? },
            };
            found.examples.push(RowDifference { table: table.name, key: row.try_get("key")?, difference });
        }
    }
    Ok(found)
}

/// The parts of statements that compare a table.
struct Compared {
    joined: String,
    in_live: String,
    in_built: String,
    changed: String,
    keys: String,
    columns: String,
}

impl Compared {
    fn new(table: &Table, live: &str, built: &str) -> Self {
        let first = table.key.first().map_or("", |key| key.name);
        // The version of the first group is never null, so it tells whether there is a row.
        let columns: Vec<_> = table.columns().collect();
        let there = columns.get(table.key.len()).map_or(first, |(name, _)| name.as_ref());
        let side = |side: &str| -> String {
            let all = columns.iter().skip(table.key.len()).map(|(name, kind)| compared(side, name, *kind));
            all.collect::<Vec<_>>().join(", ")
        };
        let differing = columns.iter().skip(table.key.len()).map(|(name, kind)| {
            let (a, b) = (compared("a", name, *kind), compared("b", name, *kind));
            format!("CASE WHEN {a} IS DISTINCT FROM {b} THEN '{name}' END")
        });
        let keys: Vec<String> = table.key.iter().map(|key| format!("\"{}\"::text", key.name)).collect();
        Self {
            joined: format!(
                "{live}.\"{0}\" AS a FULL JOIN {built}.\"{0}\" AS b USING ({1})",
                table.name,
                key_list(table)
            ),
            in_live: format!("a.\"{there}\" IS NOT NULL"),
            in_built: format!("b.\"{there}\" IS NOT NULL"),
            changed: format!("ROW ({}) IS DISTINCT FROM ROW ({})", side("a"), side("b")),
            keys: keys.join(", "),
            columns: differing.collect::<Vec<_>>().join(", "),
        }
    }

    fn counts(&self) -> String {
        let Self { joined, in_live, in_built, changed, .. } = self;
        format!(
            "SELECT count(*) FILTER (WHERE {in_built}) AS rows, \
             count(*) FILTER (WHERE NOT ({in_built})) AS only_live, \
             count(*) FILTER (WHERE NOT ({in_live})) AS only_built, \
             count(*) FILTER (WHERE {in_live} AND {in_built} AND {changed}) AS changed FROM {joined}"
        )
    }

    fn examples(&self) -> String {
        let Self { joined, in_live, in_built, changed, keys, columns } = self;
        format!(
            "SELECT {in_live} AS in_live, {in_built} AS in_built, concat_ws('/', {keys}) AS key, \
             array_remove(ARRAY[{columns}], NULL) AS columns FROM {joined} WHERE {changed} ORDER BY 3 LIMIT {EXAMPLES}"
        )
    }
}

/// JSON has no equality of its own; its text is what counts.
fn compared(side: &str, name: &str, kind: ColumnKind) -> String {
    let cast = if kind == ColumnKind::Json { "::text" } else { "" };
    format!("{side}.\"{name}\"{cast}")
}
