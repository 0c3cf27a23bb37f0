//! Putting a question together from the conditions it has.

use projections::engine::rows::Value;
use rusqlite::{Connection, Row, params_from_iter};
use uuid::Uuid;

use crate::sqlite::read_store::columns::bound;

/// A statement and its parameters, in order. Only the conditions that are there become part of the text, so that an index can
/// serve them.
pub(super) struct Query {
    sql: String,
    params: Vec<Value>,
}

impl Query {
    /// A statement that ends in its first condition, which is the tenant.
    pub(super) fn of_tenant(select: &str, tenant: &str) -> Self {
        Self { sql: select.trim_end().to_owned(), params: vec![Value::Text(tenant.to_owned())] }
    }

    /// Adds a condition.
    pub(super) fn and(&mut self, condition: &str, params: impl IntoIterator<Item = Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.params.extend(params);
    }

    /// Adds a condition if there is a value for it.
    pub(super) fn and_some(&mut self, condition: &str, param: Option<Value>) {
        if let Some(param) = param {
            self.and(condition, [param]);
        }
    }

    /// Adds: the column is one of the ids.
    pub(super) fn and_in(&mut self, column: &str, ids: &[Uuid]) {
        let marks = vec!["?"; ids.len()].join(", ");
        self.and(&format!("{column} IN ({marks})"), ids.iter().copied().map(Value::Uuid));
    }

    /// Adds what comes after the conditions.
    pub(super) fn ordered(&mut self, order: &str, limit: usize) {
        self.sql.push_str(&format!(" ORDER BY {order} LIMIT {limit}"));
    }

    /// The rows.
    pub(super) fn rows<T>(
        &self,
        conn: &Connection,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let mut statement = conn.prepare_cached(&self.sql)?;
        let rows = statement.query_map(params_from_iter(self.params.iter().map(bound)), read)?;
        rows.collect()
    }

    /// How SQLite goes about it.
    pub(super) fn plan(&self, conn: &Connection) -> rusqlite::Result<Vec<String>> {
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {}", self.sql))?;
        let steps = statement.query_map(params_from_iter(self.params.iter().map(bound)), |row| row.get(3))?;
        steps.collect()
    }
}
