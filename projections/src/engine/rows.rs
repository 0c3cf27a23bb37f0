//! Row changes: what a projection makes of an event, without naming a database.
//!
//! Streams of several shards reach a projection in any interleaving. So every group of columns has one source stream and is
//! guarded by that stream's version: a change applies only when its version is above the one the row's group has. Applying
//! the same changes in any order that keeps each stream's own order leads to the same rows.

use std::borrow::Cow;

use uuid::Uuid;

/// A table of a read model. Every name is a plain lower-case SQL identifier.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// What a row is, for analysts: a sentence.
    pub about: &'static str,
    /// The primary key's columns.
    pub key: &'static [Column],
    /// The groups of columns; each has one source stream.
    pub groups: &'static [Group],
    /// What leads to rows besides the key. Adding one needs no rebuild.
    pub indexes: &'static [Index],
}

/// A secondary index. Both databases read the same words.
#[derive(Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name, unique among those of all tables.
    pub name: &'static str,
    /// The columns or expressions in order.
    pub on: &'static [&'static str],
    /// Only the rows of which this holds.
    pub only: Option<&'static str>,
}

impl Table {
    /// Every column with its kind: the key's, then each group's guard and its columns.
    pub fn columns(&self) -> impl Iterator<Item = (Cow<'static, str>, ColumnKind)> + '_ {
        let plain = |column: &'static Column| (Cow::Borrowed(column.name), column.kind);
        let groups = self.groups.iter().flat_map(move |group| {
            let guard = (Cow::Owned(format!("{}_version", group.name)), ColumnKind::Int);
            [guard].into_iter().chain(group.columns.iter().map(plain))
        });
        self.key.iter().map(plain).chain(groups)
    }

    /// What every column means, in the order of [`columns`](Self::columns).
    pub fn meanings(&self) -> impl Iterator<Item = Cow<'static, str>> + '_ {
        let plain = |column: &'static Column| Cow::Borrowed(column.about);
        let groups = self.groups.iter().flat_map(move |group| {
            let guard = format!(
                "Version of the {}'s stream that the columns after it come from; 0 before its first event",
                group.source
            );
            [Cow::Owned(guard)].into_iter().chain(group.columns.iter().map(plain))
        });
        self.key.iter().map(plain).chain(groups)
    }

    /// The statements that make its secondary indexes, each ending in `;` and a new line.
    #[must_use]
    pub fn create_indexes(&self) -> String {
        let create = |index: &Index| {
            let only = index.only.map_or_else(String::new, |only| format!(" WHERE {only}"));
            let (name, table, on) = (index.name, self.name, index.on.join(", "));
            format!("CREATE INDEX IF NOT EXISTS {name} ON {table} ({on}){only};\n")
        };
        self.indexes.iter().map(create).collect()
    }

    /// The place of a column among [`columns`](Self::columns), and what it holds; `None` when there is no such column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<(usize, ColumnKind)> {
        let mut first = self.key.len();
        if let Some(at) = self.key.iter().position(|column| column.name == name) {
            return Some((at, self.key[at].kind));
        }
        for group in self.groups {
            if name.strip_suffix("_version") == Some(group.name) {
                return Some((first, ColumnKind::Int));
            }
            if let Some(at) = group.columns.iter().position(|column| column.name == name) {
                return Some((first + 1 + at, group.columns[at].kind));
            }
            first += 1 + group.columns.len();
        }
        None
    }
}

/// A group of columns with one source stream. The version of that stream stands in the column `<name>_version`
/// (0 until the group's first event).
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name; the guard column is `<name>_version`.
    pub name: &'static str,
    /// What its source stream is of: `order`.
    pub source: &'static str,
    /// Its columns; null until the group's first event.
    pub columns: &'static [Column],
}

/// A column.
#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnKind,
    /// What it means, for analysts.
    pub about: &'static str,
}

/// A column.
#[must_use]
pub const fn col(name: &'static str, kind: ColumnKind, about: &'static str) -> Column {
    Column { name, kind, about }
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text.
    Text,
    /// A 64-bit integer; money is in minor units.
    Int,
    /// True or false.
    Bool,
    /// A UUID.
    Uuid,
    /// An instant, in microseconds.
    Time,
    /// JSON text.
    Json,
}

impl ColumnKind {
    /// Whether a column of this kind can hold the value.
    #[must_use]
    pub fn fits(self, value: &Value) -> bool {
        matches!(
            (self, value),
            (_, Value::Null)
                | (Self::Text, Value::Text(_))
                | (Self::Json, Value::Json(_))
                | (Self::Int, Value::Int(_))
                | (Self::Bool, Value::Bool(_))
                | (Self::Uuid, Value::Uuid(_))
                | (Self::Time, Value::Time(_))
        )
    }
}

/// A value of a column. Values of one column are in the order in which databases sort them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// No value.
    Null,
    /// See [`ColumnKind::Text`].
    Text(String),
    /// See [`ColumnKind::Int`].
    Int(i64),
    /// See [`ColumnKind::Bool`].
    Bool(bool),
    /// See [`ColumnKind::Uuid`].
    Uuid(Uuid),
    /// See [`ColumnKind::Time`].
    Time(domain::Timestamp),
    /// See [`ColumnKind::Json`].
    Json(String),
}

/// One change of one row: sets columns of one group, guarded by the group's version. A row that doesn't exist is made; its
/// other groups stay at version 0. Rows are never deleted: a deletion sets a column that readers filter on (a tombstone).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// The table.
    pub table: &'static Table,
    /// The key's values, in the order of the table's key columns.
    pub key: Vec<Value>,
    /// The group's name.
    pub group: &'static str,
    /// The source stream's version: the change applies only to a lower one.
    pub version: u64,
    /// Columns of this group and their new values; the group's other columns stay as they are.
    pub set: Vec<(&'static str, Value)>,
}
