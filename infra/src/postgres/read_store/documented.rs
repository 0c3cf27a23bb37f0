//! What tables and columns mean, as comments in the database. Those of projections say it where they are declared; of the tables behind
//! them `README.md` tells, and its part about the views is made from the declarations.
//!
//! There, `### name` begins a table, the first line after it says what a row is, and each line `| column | type | meaning |` tells of
//! a column.

use std::fmt::Write as _;

use projections::engine::rows::Table;

const README: &str = include_str!("../README.md");

/// The statements that put the description of a projection's table into the database, where a view shows it.
pub(super) fn comments_of(schema: &str, table: &Table) -> String {
    let columns = table.columns().zip(table.meanings());
    let columns = columns.map(|((name, _), meaning)| (name.into_owned(), meaning.into_owned()));
    comments(schema, "VIEW", table.name, table.about, columns)
}

/// The statements that put the description of a table or view behind them into the database.
pub(super) fn comments_behind(schema: &str, kind: &str, table: &str) -> String {
    let documented = documented(table);
    let columns = documented.columns.into_iter().map(|(name, meaning)| (name.to_owned(), meaning.to_owned()));
    comments(schema, kind, table, documented.meaning, columns)
}

fn comments(
    schema: &str,
    kind: &str,
    table: &str,
    about: &str,
    columns: impl Iterator<Item = (String, String)>,
) -> String {
    let quoted = |text: &str| text.replace('\'', "''");
    let mut sql = format!("COMMENT ON {kind} {schema}.\"{table}\" IS '{}'; ", quoted(about));
    for (name, meaning) in columns {
        // Writing to a string can't fail.
        let _ = write!(sql, "COMMENT ON COLUMN {schema}.\"{table}\".\"{name}\" IS '{}'; ", quoted(&meaning));
    }
    sql
}

/// A table as the page describes it.
#[derive(Debug, Default)]
struct Documented<'a> {
    meaning: &'a str,
    /// Name, meaning.
    columns: Vec<(&'a str, &'a str)>,
}

fn documented(table: &str) -> Documented<'static> {
    let mut found = Documented::default();
    let mut inside = false;
    for line in README.lines() {
        if line.starts_with('#') {
            inside = line.strip_prefix("### ").is_some_and(|name| name.trim_matches('`') == table);
        } else if inside && line.starts_with("| `") {
            let mut cells = line.trim_matches('|').splitn(3, '|').map(str::trim);
            if let (Some(name), Some(_), Some(meaning)) = (cells.next(), cells.next(), cells.next()) {
                found.columns.push((name.trim_matches('`'), meaning));
            }
        } else if inside && found.meaning.is_empty() && !line.starts_with('|') {
            found.meaning = line.trim();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::columns::sql_type;
    use super::*;

    /// The part of the page about a projection's table.
    fn described(table: &Table) -> String {
        let mut page = format!(
            "### `{}`\n{}\n\n| column | type | meaning |\n| --- | --- | --- |\n",
            table.name, table.about
        );
        for ((name, kind), meaning) in table.columns().zip(table.meanings()) {
            let kind = sql_type(kind).split(' ').next().unwrap();
            page.push_str(&format!("| `{name}` | {kind} | {meaning} |\n"));
        }
        page
    }

    /// `UPDATE_README=1 cargo test -p infra documented` writes it.
    #[test]
    fn the_page_tells_of_every_view_what_its_declaration_says() {
        let projections = crate::shop::projections().rows;
        let tables = projections.iter().flat_map(|projection| projection.tables());
        let views: Vec<String> = tables.map(|table| described(table)).collect();
        let views = views.join("\n");
        let (begin, end) = ("## Views\n\n", "\n## Behind them\n");
        let (before, rest) = README.split_once(begin).unwrap();
        let (found, after) = rest.split_once(end).unwrap();
        if found != views && std::env::var_os("UPDATE_README").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/postgres/README.md");
            std::fs::write(path, format!("{before}{begin}{views}{end}{after}")).unwrap();
            return;
        }
        assert_eq!(found, views, "the page is not what the declarations say: see this test");
    }

    #[test]
    fn every_table_and_column_has_a_meaning() {
        let projections = crate::shop::projections().rows;
        for table in projections.iter().flat_map(|projection| projection.tables()) {
            assert!(
                !table.about.is_empty() && table.meanings().all(|meaning| !meaning.is_empty()),
                "{}",
                table.name
            );
        }
        for table in ["store", "projections", "generations", "checkpoints", "dead_letters", "progress"] {
            assert!(
                !documented(table).meaning.is_empty() && !documented(table).columns.is_empty(),
                "{table}"
            );
        }
    }
}
