//! What tables and columns mean, as `README.md` tells it; the database's comments are made from there.
//!
//! There, `### name` begins a table, the first line after it says what a row is, and each line `| column | type | meaning |` tells of
//! a column.

use std::fmt::Write as _;

const README: &str = include_str!("../README.md");

/// A table as it is described.
#[derive(Debug, Default)]
pub(super) struct Documented<'a> {
    pub(super) meaning: &'a str,
    /// Name, type, meaning.
    pub(super) columns: Vec<(&'a str, &'a str, &'a str)>,
}

/// The description of a table or view; empty when there is none.
pub(super) fn documented(table: &str) -> Documented<'static> {
    let mut found = Documented::default();
    let mut inside = false;
    for line in README.lines() {
        if line.starts_with('#') {
            inside = line.strip_prefix("### ").is_some_and(|name| name.trim_matches('`') == table);
        } else if inside && line.starts_with("| `") {
            let mut cells = line.trim_matches('|').splitn(3, '|').map(str::trim);
            if let (Some(name), Some(kind), Some(meaning)) = (cells.next(), cells.next(), cells.next()) {
                found.columns.push((name.trim_matches('`'), kind, meaning));
            }
        } else if inside && found.meaning.is_empty() && !line.starts_with('|') {
            found.meaning = line.trim();
        }
    }
    found
}

/// The statements that put the description of a table or view into the database.
pub(super) fn comments(schema: &str, kind: &str, table: &str) -> String {
    let documented = documented(table);
    let mut sql = String::new();
    let quoted = |text: &str| text.replace('\'', "''");
    // Writing to a string can't fail.
    if !documented.meaning.is_empty() {
        let _ = write!(sql, "COMMENT ON {kind} {schema}.\"{table}\" IS '{}'; ", quoted(documented.meaning));
    }
    for (name, _, meaning) in documented.columns {
        let _ = write!(sql, "COMMENT ON COLUMN {schema}.\"{table}\".\"{name}\" IS '{}'; ", quoted(meaning));
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::super::columns::sql_type;
    use super::super::digest::columns;
    use super::*;

    /// Neither a column that isn't described nor a description without its column.
    #[test]
    fn every_column_of_every_projection_is_described() {
        for projection in crate::read_side::row_projections() {
            for table in projection.tables() {
                let found = documented(table.name);
                assert!(!found.meaning.is_empty(), "{} is not described", table.name);
                let expected: Vec<(String, &str)> = columns(table)
                    .into_iter()
                    .map(|(name, kind)| (name, sql_type(kind).split(' ').next().unwrap()))
                    .collect();
                let described: Vec<(String, &str)> =
                    found.columns.iter().map(|(name, kind, _)| ((*name).to_owned(), *kind)).collect();
                assert_eq!(described, expected, "{}", table.name);
                assert!(found.columns.iter().all(|(_, _, meaning)| !meaning.is_empty()), "{}", table.name);
            }
        }
    }
}
