//! What a batch of changes comes to: one row per table, key and group, and one statement for all rows that set the same columns.
//!
//! Merging is sound because a batch holds a stream's events without a gap: what the last change of a group leaves in a column is
//! the same whether the ones before it are applied or were applied already.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{BuildHasherDefault, DefaultHasher};

use projections::engine::rows::{ColumnKind, Group, RowChange, Table, Value};
use projections::engine::store::StoreError;

use super::columns::{Values, array_type, check};

/// The rows of one statement.
pub(super) struct Upsert<'a> {
    pub(super) table: &'static Table,
    group: &'static Group,
    /// Bit i stands for the group's column i.
    columns: u64,
    rows: Vec<Merged<'a>>,
}

/// The change of one row's group.
struct Merged<'a> {
    key: &'a [Value],
    version: u64,
    /// The new value of each of the group's columns, if it has one.
    set: Vec<Option<&'a Value>>,
    columns: u64,
}

type Map<K> = HashMap<K, usize, BuildHasherDefault<DefaultHasher>>;

/// Groups changes into statements; tables with several groups come last, in order of name.
///
/// # Errors
/// [`StoreError::Refused`] when a change doesn't fit its table, whether or not a later one replaces it.
pub(super) fn upserts(changes: &[RowChange]) -> Result<Vec<Upsert<'_>>, StoreError> {
    let mut places: Map<(&str, &str, &[Value])> = Map::default();
    let mut merged: Vec<(&'static Table, &'static Group, Merged<'_>)> = Vec::with_capacity(changes.len());
    for change in changes {
        let group = fit(change)?;
        let place = *places.entry((change.table.name, group.name, &change.key)).or_insert_with(|| {
            let set = vec![None; group.columns.len()];
            merged.push((change.table, group, Merged { key: &change.key, version: 0, set, columns: 0 }));
            merged.len() - 1
        });
        let row = &mut merged[place].2;
        if change.version <= row.version {
            continue;
        }
        row.version = change.version;
        for (name, value) in &change.set {
            let index = column(group, name)?;
            row.set[index] = Some(value);
            row.columns |= 1 << index;
        }
    }
    let mut statements: Map<(&str, &str, u64)> = Map::default();
    let mut upserts: Vec<Upsert<'_>> = Vec::new();
    for (table, group, row) in merged {
        // A change of version 0 applies to nothing.
        if row.version == 0 {
            continue;
        }
        let place = *statements.entry((table.name, group.name, row.columns)).or_insert_with(|| {
            upserts.push(Upsert { table, group, columns: row.columns, rows: Vec::new() });
            upserts.len() - 1
        });
        upserts[place].rows.push(row);
    }
    upserts.sort_by_key(|u| (u.is_shared(), u.table.name, u.group.name, u.columns));
    Ok(upserts)
}

/// The group of a change that fits its table.
fn fit(change: &RowChange) -> Result<&'static Group, StoreError> {
    let table = change.table;
    let refused = |reason: String| StoreError::Refused(reason);
    let group = table.groups.iter().find(|g| g.name == change.group);
    let group =
        group.ok_or_else(|| refused(format!("{} has no group of columns {}", table.name, change.group)))?;
    if change.key.len() != table.key.len() || change.key.contains(&Value::Null) {
        return Err(refused(format!("a key of {} is incomplete", table.name)));
    }
    for (column, value) in table.key.iter().zip(&change.key) {
        check(column.name, column.kind, value)?;
    }
    for (name, value) in &change.set {
        let column = &group.columns[column(group, name)?];
        check(column.name, column.kind, value)?;
    }
    if i64::try_from(change.version).is_err() {
        return Err(refused(format!("version {} is too large", change.version)));
    }
    Ok(group)
}

fn column(group: &Group, name: &str) -> Result<usize, StoreError> {
    let index = group.columns.iter().position(|c| c.name == name);
    index
        .filter(|index| *index < 64)
        .ok_or_else(|| StoreError::Refused(format!("the group {} has no column {name}", group.name)))
}

impl<'a> Upsert<'a> {
    /// Whether rows of the table have several source streams, so that writers of different shards may meet in one row.
    pub(super) fn is_shared(&self) -> bool {
        self.table.groups.len() > 1
    }

    /// The statement, with a parameter per column.
    pub(super) fn sql(&self, schema: &str) -> String {
        let version = format!("{}_version", self.group.name);
        let mut columns: Vec<(&str, ColumnKind)> = self.table.key.iter().map(|c| (c.name, c.kind)).collect();
        columns.push((&version, ColumnKind::Int));
        columns.extend(self.set().map(|c| (c.name, c.kind)));
        let mut sql = format!("INSERT INTO {schema}.\"{}\" AS t (", self.table.name);
        // Writing to a string can't fail.
        for (n, (name, _)) in columns.iter().enumerate() {
            let _ = write!(sql, "{}\"{name}\"", if n == 0 { "" } else { ", " });
        }
        let _ = write!(sql, ") SELECT ");
        for (n, (_, kind)) in columns.iter().enumerate() {
            let cast = if *kind == ColumnKind::Json { "::json" } else { "" };
            let _ = write!(sql, "{}c{n}{cast}", if n == 0 { "" } else { ", " });
        }
        let _ = write!(sql, " FROM unnest(");
        for (n, (_, kind)) in columns.iter().enumerate() {
            let _ = write!(sql, "{}${}::{}", if n == 0 { "" } else { ", " }, n + 1, array_type(*kind));
        }
        let _ = write!(sql, ") AS u (");
        for n in 0..columns.len() {
            let _ = write!(sql, "{}c{n}", if n == 0 { "" } else { ", " });
        }
        let _ = write!(sql, ") ON CONFLICT (");
        for (n, key) in self.table.key.iter().enumerate() {
            let _ = write!(sql, "{}\"{}\"", if n == 0 { "" } else { ", " }, key.name);
        }
        let _ = write!(sql, ") DO UPDATE SET \"{version}\" = EXCLUDED.\"{version}\"");
        for column in self.set() {
            let _ = write!(sql, ", \"{0}\" = EXCLUDED.\"{0}\"", column.name);
        }
        let _ = write!(sql, " WHERE t.\"{version}\" < EXCLUDED.\"{version}\"");
        sql
    }

    /// The parameters, in the statement's order.
    pub(super) fn parameters(&self) -> Vec<Values<'a>> {
        let rows = self.rows.len();
        let mut all = Vec::with_capacity(self.table.key.len() + 1 + self.group.columns.len());
        for (n, column) in self.table.key.iter().enumerate() {
            let mut values = Values::with_capacity(column.kind, rows);
            self.rows.iter().for_each(|row| values.push(&row.key[n]));
            all.push(values);
        }
        // Checked by `fit`.
        all.push(Values::Int(self.rows.iter().map(|row| i64::try_from(row.version).ok()).collect()));
        for (n, column) in self.group.columns.iter().enumerate() {
            if self.columns & 1 << n != 0 {
                let mut values = Values::with_capacity(column.kind, rows);
                self.rows.iter().for_each(|row| values.push(row.set[n].unwrap_or(&Value::Null)));
                all.push(values);
            }
        }
        all
    }

    fn set(&self) -> impl Iterator<Item = &'static projections::engine::rows::Column> + '_ {
        let columns = self.columns;
        self.group.columns.iter().enumerate().filter(move |(n, _)| columns & 1 << n != 0).map(|(_, c)| c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use projections::ordering::orders::ORDERS;
    use uuid::Uuid;

    fn change(order: u128, group: &'static str, version: u64, set: &[(&'static str, &str)]) -> RowChange {
        RowChange {
            table: &ORDERS,
            key: vec![Value::Text("t".into()), Value::Uuid(Uuid::from_u128(order))],
            group,
            version,
            set: set.iter().map(|(name, value)| (*name, Value::Text((*value).into()))).collect(),
        }
    }

    fn texts(upsert: &Upsert<'_>, parameter: usize) -> Vec<Option<String>> {
        match &upsert.parameters()[parameter] {
            Values::Text(values) => values.iter().map(|v| v.map(str::to_owned)).collect(),
            _ => panic!("not text"),
        }
    }

    #[test]
    fn changes_of_one_group_of_a_row_become_one() {
        let changes = [
            change(1, "order", 1, &[("status", "pending"), ("reason", "old")]),
            change(2, "order", 1, &[("status", "pending")]),
            change(1, "order", 2, &[("status", "paid")]),
            // Late: the version is not above what is there.
            change(1, "order", 2, &[("status", "late")]),
            change(1, "payment", 5, &[("payment_status", "captured")]),
        ];
        let upserts = upserts(&changes).unwrap();
        assert_eq!(upserts.len(), 3);
        assert_eq!(upserts[0].rows.len(), 1);
        assert_eq!(texts(&upserts[0], 3), [Some("pending".to_owned())]);
        assert_eq!(texts(&upserts[1], 3), [Some("paid".to_owned())]);
        assert_eq!(texts(&upserts[1], 4), [Some("old".to_owned())]);
        assert_eq!(upserts[1].rows[0].version, 2);
        assert_eq!(
            upserts[2].sql("s_orders_1"),
            "INSERT INTO s_orders_1.\"orders\" AS t (\"tenant\", \"order_id\", \"payment_version\", \"payment_status\") \
             SELECT c0, c1, c2, c3 FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::text[]) AS u (c0, c1, c2, c3) \
             ON CONFLICT (\"tenant\", \"order_id\") DO UPDATE SET \"payment_version\" = EXCLUDED.\"payment_version\", \
             \"payment_status\" = EXCLUDED.\"payment_status\" WHERE t.\"payment_version\" < EXCLUDED.\"payment_version\""
        );
    }

    #[test]
    fn what_fits_no_column_is_refused_even_when_it_is_replaced() {
        let later = change(1, "order", 9, &[("status", "paid")]);
        let incomplete = RowChange { key: vec![Value::Text("t".into())], ..later.clone() };
        for wrong in [
            change(1, "order", 1, &[("no_such_column", "x")]),
            change(1, "no_such_group", 1, &[]),
            change(1, "order", 1, &[("total_amount", "text")]),
            change(1, "order", 1, &[("status", "with \0 inside")]),
            incomplete,
        ] {
            assert!(matches!(upserts(&[wrong, later.clone()]), Err(StoreError::Refused(_))));
        }
    }
}
