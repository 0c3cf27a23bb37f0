//! Applying a batch in the transaction of its caller.

use std::collections::HashMap;
use std::fmt::Write as _;

use projections::engine::mark::{Generation, Mark};
use projections::engine::rows::{RowChange, Value};
use projections::engine::store::{Batch, Part, StoreError};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params, params_from_iter};

use super::columns::bound;
use super::{letters, origin, refused, unavailable};

/// How far the rows of a projection are, for a transaction that reads these too.
pub(in crate::sqlite) fn mark(conn: &Connection, projection: &str) -> rusqlite::Result<Mark> {
    let (seen, _) = origin::stood(conn, projection)?;
    Ok(Mark { generation: generation(conn, projection)?, seen })
}

/// Which making of a projection's rows is there.
pub(super) fn generation(conn: &Connection, projection: &str) -> rusqlite::Result<Generation> {
    let mut select = conn.prepare_cached(include_str!("select_generation.sql"))?;
    let number: Option<i64> = select.query_row([projection], |row| row.get(0)).optional()?;
    Ok(Generation::named(number.unwrap_or(0).to_string()))
}

pub(super) fn apply(conn: &Connection, batch: &Batch) -> Result<(), StoreError> {
    for part in &batch.parts {
        move_checkpoints(conn, part)?;
        letters::park(conn, part.projection, &part.letters)?;
        changes(conn, &part.changes)?;
    }
    Ok(())
}

fn move_checkpoints(conn: &Connection, part: &Part) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached(include_str!("move_checkpoint.sql")).map_err(unavailable)?;
    for moved in &part.moves {
        let frame = moved.frame;
        let params = params![part.projection, moved.shard.0, moved.from, moved.to, frame.number, frame.hash];
        if statement.execute(params).map_err(unavailable)? != 1 {
            return Err(StoreError::Moved(part.projection.to_owned()));
        }
    }
    Ok(())
}

pub(super) fn changes(conn: &Connection, changes: &[RowChange]) -> Result<(), StoreError> {
    let mut statements = Statements { conn, sql: String::new(), last: None };
    for row in rows(changes) {
        let groups: Vec<Merged<'_>> = row.groups.iter().map(|changes| Merged::of(changes)).collect();
        let ascending = |changes: &Vec<&RowChange>| Merged::is_ascending(changes);
        // A row that a batch makes and finishes is one statement.
        if groups.len() > 1 && row.groups.iter().all(ascending) && statements.insert(&groups)? {
            continue;
        }
        for (merged, changes) in groups.iter().zip(&row.groups) {
            if ascending(changes) && (statements.upsert(merged)? || changes.len() == 1) {
                continue;
            }
            for change in changes {
                statements.upsert(&Merged::of(&[*change]))?;
            }
        }
    }
    Ok(())
}

/// A row's changes in a batch, by group of columns, in order.
struct RowChanges<'a> {
    groups: Vec<Vec<&'a RowChange>>,
}

/// The changes of a batch by row. Those come first that are likely to need the same statement: rows don't depend on each other.
fn rows(changes: &[RowChange]) -> Vec<RowChanges<'_>> {
    let mut places: HashMap<(&str, &[Value]), usize> = HashMap::with_capacity(changes.len());
    let mut rows: Vec<RowChanges<'_>> = Vec::new();
    for change in changes {
        let at = *places.entry((change.table.name, &change.key)).or_insert(rows.len());
        if at == rows.len() {
            rows.push(RowChanges { groups: Vec::with_capacity(1) });
        }
        let groups = &mut rows[at].groups;
        match groups.iter_mut().find(|changes| changes[0].group == change.group) {
            Some(changes) => changes.push(change),
            None => groups.push(vec![change]),
        }
    }
    rows.sort_by_key(|row| {
        let first = row.groups[0][0];
        (first.table.name, row.groups.len(), first.group, first.set.len())
    });
    rows
}

/// What changes of one group of a row, in ascending versions, come to together.
struct Merged<'a> {
    change: &'a RowChange,
    /// They come to this for a row that is below this version.
    first: u64,
    last: u64,
    set: Vec<(&'static str, &'a Value)>,
}

impl<'a> Merged<'a> {
    fn of(changes: &[&'a RowChange]) -> Self {
        let mut set: Vec<(&'static str, &'a Value)> =
            changes[0].set.iter().map(|(name, value)| (*name, value)).collect();
        for (name, value) in changes[1..].iter().flat_map(|change| &change.set) {
            match set.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known = value,
                None => set.push((name, value)),
            }
        }
        if changes.len() > 1 {
            // One shape of statement for whatever order the columns came in.
            set.sort_unstable_by_key(|(name, _)| *name);
        }
        let (first, last) = (changes[0].version, changes[changes.len() - 1].version);
        Self { change: changes[0], first, last, set }
    }

    /// Whether the versions ascend, without which they come to something else.
    fn is_ascending(changes: &[&RowChange]) -> bool {
        changes.is_sorted_by(|a, b| a.version < b.version)
    }
}

fn version(version: u64) -> Result<Value, StoreError> {
    i64::try_from(version).map(Value::Int).map_err(|e| StoreError::Refused(e.to_string()))
}

/// What a row's columns that a statement sets are called: by group.
#[derive(PartialEq, Eq)]
struct Shape {
    table: &'static str,
    groups: Vec<(&'static str, Vec<&'static str>)>,
    /// Whether it may change a row that is there.
    updates: bool,
}

impl Shape {
    fn of(groups: &[Merged<'_>], updates: bool) -> Self {
        let names = |group: &Merged<'_>| group.set.iter().map(|(name, _)| *name).collect();
        let table = groups[0].change.table.name;
        Self {
            table,
            groups: groups.iter().map(|group| (group.change.group, names(group))).collect(),
            updates,
        }
    }

    /// Whether it is these groups' shape.
    fn is_of(&self, groups: &[Merged<'_>], updates: bool) -> bool {
        let same = |(group, names): &(&str, Vec<&str>), of: &Merged<'_>| {
            *group == of.change.group && names.iter().eq(of.set.iter().map(|(name, _)| name))
        };
        self.updates == updates
            && self.table == groups[0].change.table.name
            && self.groups.len() == groups.len()
            && self.groups.iter().zip(groups).all(|(shape, group)| same(shape, group))
    }
}

/// Statements that write rows; the last one is at hand.
struct Statements<'c> {
    conn: &'c Connection,
    sql: String,
    last: Option<(Shape, CachedStatement<'c>)>,
}

impl<'c> Statements<'c> {
    /// Inserts a whole row; returns whether there was none.
    fn insert(&mut self, groups: &[Merged<'_>]) -> Result<bool, StoreError> {
        let versions = groups.iter().map(|group| version(group.last)).collect::<Result<Vec<_>, _>>()?;
        let of_groups = groups.iter().zip(&versions).flat_map(|(group, version)| {
            std::iter::once(version).chain(group.set.iter().map(|(_, value)| *value))
        });
        let values = groups[0].change.key.iter().chain(of_groups).map(bound);
        let statement = self.of(groups, false)?;
        Ok(statement.execute(params_from_iter(values)).map_err(refused)? == 1)
    }

    /// Sets a group's columns of a row, if its version is below the change's first; makes the row if there is none. Returns whether
    /// it did.
    fn upsert(&mut self, merged: &Merged<'_>) -> Result<bool, StoreError> {
        let (last, first) = (version(merged.last)?, version(merged.first)?);
        let set = merged.set.iter().map(|(_, value)| *value);
        let values = merged.change.key.iter().chain([&last]).chain(set).chain([&first]).map(bound);
        let statement = self.of(std::slice::from_ref(merged), true)?;
        Ok(statement.execute(params_from_iter(values)).map_err(refused)? == 1)
    }

    /// The statement for a row's groups.
    fn of(&mut self, groups: &[Merged<'_>], updates: bool) -> Result<&mut CachedStatement<'c>, StoreError> {
        let at_hand = self.last.take().filter(|(shape, _)| shape.is_of(groups, updates));
        let last = match at_hand {
            Some(last) => last,
            None => {
                write_sql(&mut self.sql, groups, updates);
                let statement = self.conn.prepare_cached(&self.sql).map_err(refused)?;
                (Shape::of(groups, updates), statement)
            }
        };
        Ok(&mut self.last.insert(last).1)
    }
}

/// Writes `INSERT … VALUES (…)` of a row's key and these groups of its columns, and what is to happen to a row that is there.
fn write_sql(sql: &mut String, groups: &[Merged<'_>], updates: bool) {
    let change = groups[0].change;
    let table = change.table.name;
    sql.clear();
    // Writing to a string can't fail.
    let _ = write!(sql, "INSERT INTO \"{table}\" (");
    for key in change.table.key {
        let _ = write!(sql, "\"{}\", ", key.name);
    }
    let mut count = change.key.len();
    for (n, merged) in groups.iter().enumerate() {
        let comma = if n == 0 { "" } else { ", " };
        let _ = write!(sql, "{comma}\"{}_version\"", merged.change.group);
        for (name, _) in &merged.set {
            let _ = write!(sql, ", \"{name}\"");
        }
        count += 1 + merged.set.len();
    }
    let _ = write!(sql, ") VALUES (?1");
    for n in 2..=count {
        let _ = write!(sql, ", ?{n}");
    }
    let merged = match groups {
        [merged] if updates => merged,
        _ => return sql.push_str(") ON CONFLICT DO NOTHING"),
    };
    let group = merged.change.group;
    let _ = write!(sql, ") ON CONFLICT DO UPDATE SET \"{group}_version\" = excluded.\"{group}_version\"");
    for (name, _) in &merged.set {
        let _ = write!(sql, ", \"{name}\" = excluded.\"{name}\"");
    }
    let _ = write!(sql, " WHERE \"{table}\".\"{group}_version\" < ?{}", count + 1);
}

#[cfg(test)]
mod tests {
    use projections::engine::rows::{Column, ColumnKind, Group, Table, col};
    use proptest::prelude::*;

    use super::*;

    const fn column(name: &'static str) -> Column {
        col(name, ColumnKind::Int, "")
    }

    static TABLE: Table = Table {
        name: "things",
        about: "",
        key: &[column("id")],
        groups: &[
            Group { name: "a", source: "a", columns: &[column("x"), column("y")] },
            Group { name: "b", source: "b", columns: &[column("z")] },
        ],
        indexes: &[],
    };

    fn change((id, version, which, value): (i64, u64, u8, i64)) -> RowChange {
        let (group, set) = match which {
            0 => ("a", vec![("x", Value::Int(value))]),
            1 => ("a", vec![("y", Value::Int(value))]),
            2 => ("a", vec![("y", Value::Int(value)), ("x", Value::Null)]),
            _ => ("b", vec![("z", Value::Int(value))]),
        };
        RowChange { table: &TABLE, key: vec![Value::Int(id)], group, version, set }
    }

    fn database() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        let ddl = "CREATE TABLE things (id INTEGER PRIMARY KEY, a_version INTEGER NOT NULL DEFAULT 0, x INTEGER, y INTEGER, \
                   b_version INTEGER NOT NULL DEFAULT 0, z INTEGER)";
        conn.execute_batch(ddl).unwrap();
        conn
    }

    fn rows_of(conn: &Connection) -> Vec<String> {
        let mut select = conn.prepare("SELECT * FROM things ORDER BY id").unwrap();
        let row = |row: &rusqlite::Row<'_>| {
            let values =
                (0..6).map(|n| row.get::<_, Option<i64>>(n)).collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(format!("{values:?}"))
        };
        select.query_map([], row).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    proptest! {
        /// Old versions, repeats and any order among them.
        // proves: EVT-3
        #[test]
        fn a_batch_comes_to_what_its_changes_come_to_one_by_one(
            batches in proptest::collection::vec(
                proptest::collection::vec((0..3_i64, 1..9_u64, 0..4_u8, 0..5_i64), 0..12),
                1..5,
            ),
        ) {
            let (together, alone) = (database(), database());
            for batch in batches {
                let batch: Vec<RowChange> = batch.into_iter().map(change).collect();
                changes(&together, &batch).unwrap();
                batch.iter().for_each(|one| changes(&alone, std::slice::from_ref(one)).unwrap());
                prop_assert_eq!(rows_of(&together), rows_of(&alone));
            }
        }

        /// As events come: versions ascend.
        // proves: EVT-3
        #[test]
        fn ascending_changes_are_merged_rightly(
            batches in proptest::collection::vec(
                proptest::collection::vec((0..2_i64, 0..4_u8, 0..5_i64), 0..12),
                1..5,
            ),
        ) {
            let (together, alone, mut version) = (database(), database(), 0);
            for batch in batches {
                let mut next = |(id, which, value)| {
                    version += 1;
                    change((id, version, which, value))
                };
                let batch: Vec<RowChange> = batch.into_iter().map(&mut next).collect();
                changes(&together, &batch).unwrap();
                batch.iter().for_each(|one| changes(&alone, std::slice::from_ref(one)).unwrap());
                prop_assert_eq!(rows_of(&together), rows_of(&alone));
            }
        }
    }
}
