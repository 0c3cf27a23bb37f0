//! Questions about rows in SQL. Both databases read the same statements; they differ in how a parameter is written, in how JSON comes out
//! as text, and in how the rows that belong to a row come along.

use projections::engine::query::{Children, Condition, Direction, Select};
use projections::engine::rows::{Column, ColumnKind, Table, Value};

use crate::postgres::read_store::columns::selected;

/// Whose SQL it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// A statement and its parameters, in order. Only the conditions that are there become part of the text, so that an index can serve
/// them; their values don't, so that one prepared statement serves all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) sql: String,
    pub(crate) parameters: Vec<Parameter>,
    dialect: Dialect,
}

/// A parameter of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parameter {
    /// A value.
    One(Value),
    /// Values of one kind, as an array; on PostgreSQL only.
    Any(Vec<Value>),
}

impl Statement {
    /// The rows of a question: every column of its table in order. On PostgreSQL a column of JSON text for each of its children follows
    /// ([`Statement::children_column`]).
    pub(crate) fn select(select: &Select, dialect: Dialect) -> Self {
        let mut columns = columns(select.table, dialect);
        if dialect == Dialect::Postgres {
            columns.extend(select.children.iter().map(|child| children_column(select.table, child)));
        }
        let mut statement = Self::of(&columns.join(", "), select.table, dialect);
        for (n, condition) in select.conditions.iter().enumerate() {
            statement.sql.push_str(if n == 0 { " WHERE " } else { " AND " });
            statement.condition(condition);
        }
        if let Some(after) = &select.after {
            statement.sql.push_str(if select.conditions.is_empty() { " WHERE " } else { " AND " });
            let runs = runs(&select.order, after);
            statement.behind(&runs);
        }
        let order = select.order.iter().map(|(column, direction)| match direction {
            Direction::Ascending => quoted(column),
            Direction::Descending => format!("{} DESC", quoted(column)),
        });
        statement.ending(order.collect(), select.limit);
        statement
    }

    /// The rows that belong to some rows of a table, whose keys begin with `same` and end in one of `last`: the columns in order. Not as a
    /// comparison of whole keys, which no index serves.
    pub(crate) fn children_of(same: &[Value], last: Vec<Value>, parent: &Table, child: &Children) -> Self {
        let dialect = Dialect::Sqlite;
        let mut statement = Self::of(&columns(child.table, dialect).join(", "), child.table, dialect);
        statement.sql.push_str(" WHERE ");
        for (column, value) in parent.key.iter().zip(same) {
            statement.compared(column.name, "=", value);
            statement.sql.push_str(" AND ");
        }
        let column = parent.key.last().map_or("", |column| column.name);
        statement.condition(&Condition::In(column, last));
        // First by the row that they belong to: that is the order in which an index has them.
        let order = [column].into_iter().chain(child.order.iter().copied());
        statement.ending(order.map(quoted).collect(), None);
        statement
    }

    /// How the database goes about it.
    pub(crate) fn explained(self) -> Self {
        let explain = match self.dialect {
            Dialect::Sqlite => "EXPLAIN QUERY PLAN",
            Dialect::Postgres => "EXPLAIN",
        };
        Self { sql: format!("{explain} {}", self.sql), ..self }
    }

    fn of(columns: &str, table: &Table, dialect: Dialect) -> Self {
        let sql = format!("SELECT {columns} FROM {} AS t", quoted(table.name));
        Self { sql, parameters: Vec::new(), dialect }
    }

    /// Writes a parameter.
    fn parameter(&mut self, value: &Value) {
        self.pushed(Parameter::One(value.clone()));
    }

    fn pushed(&mut self, parameter: Parameter) {
        self.parameters.push(parameter);
        match self.dialect {
            Dialect::Sqlite => self.sql.push('?'),
            Dialect::Postgres => self.sql.push_str(&format!("${}", self.parameters.len())),
        }
    }

    /// Writes `(a, b)`.
    fn row(&mut self, values: &[Value]) {
        self.sql.push('(');
        for (n, value) in values.iter().enumerate() {
            self.sql.push_str(if n == 0 { "" } else { ", " });
            self.parameter(value);
        }
        self.sql.push(')');
    }

    fn compared(&mut self, column: &str, how: &str, value: &Value) {
        self.sql.push_str(&format!("{} {how} ", quoted(column)));
        self.parameter(value);
    }

    fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::Is(column, value) => self.compared(column, "=", value),
            Condition::AtLeast(column, value) => self.compared(column, ">=", value),
            Condition::AtMost(column, value) => self.compared(column, "<=", value),
            // No database has a list without a value.
            Condition::In(_, values) if values.is_empty() => self.sql.push_str("1 = 0"),
            // One statement, however many there are.
            Condition::In(column, values) if self.dialect == Dialect::Postgres => {
                self.sql.push_str(&format!("{} = ANY(", quoted(column)));
                self.pushed(Parameter::Any(values.clone()));
                self.sql.push(')');
            }
            Condition::In(column, values) => {
                self.sql.push_str(&format!("{} IN ", quoted(column)));
                self.row(values);
            }
            Condition::Begun(group) => self.sql.push_str(&format!("\"{group}_version\" > 0")),
        }
    }

    /// Writes: the row comes behind the place. Columns in one direction are compared as one; that the first of them aren't before the place
    /// is said apart, for the sake of an index.
    fn behind(&mut self, runs: &[Run<'_>]) {
        let Some((run, rest)) = runs.split_first() else { return };
        let beyond = if run.direction == Direction::Ascending { ">" } else { "<" };
        if rest.is_empty() {
            return self.run(run, beyond);
        }
        self.sql.push('(');
        self.run(run, &format!("{beyond}="));
        self.sql.push_str(" AND (");
        self.run(run, beyond);
        self.sql.push_str(" OR ");
        self.behind(rest);
        self.sql.push_str("))");
    }

    fn run(&mut self, run: &Run<'_>, how: &str) {
        if let ([column], [value]) = (run.columns.as_slice(), run.values) {
            return self.compared(column, how, value);
        }
        let columns: Vec<String> = run.columns.iter().map(|column| quoted(column)).collect();
        self.sql.push_str(&format!("({}) {how} ", columns.join(", ")));
        self.row(run.values);
    }

    fn ending(&mut self, order: Vec<String>, limit: Option<usize>) {
        if !order.is_empty() {
            self.sql.push_str(" ORDER BY ");
            self.sql.push_str(&order.join(", "));
        }
        if let Some(limit) = limit {
            self.sql.push_str(" LIMIT ");
            self.parameter(&Value::Int(i64::try_from(limit).unwrap_or(i64::MAX)));
        }
    }
}

/// Columns that follow each other in an order and have the same direction.
struct Run<'a> {
    columns: Vec<&'static str>,
    direction: Direction,
    values: &'a [Value],
}

fn runs<'a>(order: &[(&'static str, Direction)], after: &'a [Value]) -> Vec<Run<'a>> {
    let mut values = after;
    let mut runs = Vec::new();
    for same in order.chunk_by(|(_, one), (_, other)| one == other) {
        let (own, rest) = values.split_at(same.len().min(values.len()));
        values = rest;
        let columns = same.iter().map(|(column, _)| *column).collect();
        runs.push(Run { columns, direction: same[0].1, values: own });
    }
    runs
}

/// The columns of a table's key: `"tenant", "order_id"`.
pub(crate) fn key_list(table: &Table) -> String {
    let names: Vec<String> = table.key.iter().map(|column| quoted(column.name)).collect();
    names.join(", ")
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// The columns of a table, so that each comes out as its kind.
fn columns(table: &Table, dialect: Dialect) -> Vec<String> {
    let column = |(name, kind): (std::borrow::Cow<'_, str>, ColumnKind)| match dialect {
        Dialect::Postgres => selected(&name, kind),
        Dialect::Sqlite => quoted(&name),
    };
    table.columns().map(column).collect()
}

/// JSON text of the rows that belong to a row: an array for each, with its columns in order. An instant is a number of microseconds.
fn children_column(parent: &Table, child: &Children) -> String {
    let column = |(name, kind): (std::borrow::Cow<'_, str>, ColumnKind)| match kind {
        ColumnKind::Time => format!("(extract(epoch FROM {}) * 1000000)::bigint", quoted(&name)),
        _ => selected(&name, kind),
    };
    let columns: Vec<String> = child.table.columns().map(column).collect();
    let order: Vec<String> = child.order.iter().map(|column| quoted(column)).collect();
    let same = |column: &Column| format!("c.{0} = t.{0}", quoted(column.name));
    let same: Vec<String> = parent.key.iter().map(same).collect();
    format!(
        "(SELECT json_agg(json_build_array({}) ORDER BY {})::text FROM {} AS c WHERE {})",
        columns.join(", "),
        order.join(", "),
        quoted(child.table.name),
        same.join(" AND ")
    )
}

#[cfg(test)]
mod tests {
    use domain::catalogue::product::ProductView;
    use domain::ordering::order::OrderView;
    use projections::engine::query::Direction::{Ascending, Descending};
    use projections::inventory::StockRow;
    use uuid::Uuid;

    use super::*;

    fn tail(statement: &Statement) -> &str {
        statement.sql.split_once(" WHERE ").map_or("", |(_, tail)| tail)
    }

    // proves: CAT-1
    #[test]
    fn a_page_in_two_directions_begins_behind_its_place() {
        let id = Value::Uuid(Uuid::from_u128(1));
        let mut select = Select::of::<ProductView>("default")
            .by("currency", Ascending)
            .by("price_amount", Descending)
            .by("created_at", Ascending)
            .by("product_id", Ascending);
        select.after = Some(vec![Value::Text("EUR".into()), Value::Int(5), Value::Int(9), id]);
        select.limit = Some(3);
        let statement = Statement::select(&select, Dialect::Postgres);
        assert_eq!(
            tail(&statement),
            "\"tenant\" = $1 AND (\"currency\" >= $2 AND (\"currency\" > $3 OR (\"price_amount\" <= $4 AND \
             (\"price_amount\" < $5 OR (\"created_at\", \"product_id\") > ($6, $7))))) \
             ORDER BY \"currency\", \"price_amount\" DESC, \"created_at\", \"product_id\" LIMIT $8"
        );
        assert_eq!(statement.parameters.len(), 8);
        let statement = Statement::select(&select, Dialect::Sqlite);
        assert!(!statement.sql.contains('$') && statement.sql.matches('?').count() == 8, "{}", statement.sql);
    }

    #[test]
    fn what_belongs_to_a_row_comes_with_it_or_is_asked_for_by_its_key() {
        let select = Select::of::<OrderView>("default");
        let postgres = Statement::select(&select, Dialect::Postgres).sql;
        assert!(
            postgres.contains("FROM \"order_lines\" AS c WHERE c.\"tenant\" = t.\"tenant\" AND"),
            "{postgres}"
        );
        assert!(!Statement::select(&select, Dialect::Sqlite).sql.contains("order_lines"));
        let (tenant, ids) = (Value::Text("default".into()), [1, 2].map(Uuid::from_u128).map(Value::Uuid));
        let children = Statement::children_of(&[tenant], ids.to_vec(), select.table, &select.children[0]);
        assert_eq!(
            tail(&children),
            "\"tenant\" = ? AND \"order_id\" IN (?, ?) ORDER BY \"order_id\", \"line\""
        );
    }

    #[test]
    fn nothing_is_in_an_empty_list() {
        let select = Select::of::<StockRow>("default").and(Condition::In("product_id", Vec::new()));
        assert!(Statement::select(&select, Dialect::Sqlite).sql.ends_with("AND 1 = 0"));
        let ids = [1, 2].map(Uuid::from_u128).map(Value::Uuid).to_vec();
        let select = Select::of::<StockRow>("default").and(Condition::In("product_id", ids.clone()));
        assert!(Statement::select(&select, Dialect::Sqlite).sql.ends_with("IN (?, ?)"));
        let statement = Statement::select(&select, Dialect::Postgres);
        assert!(statement.sql.ends_with("\"product_id\" = ANY($2)"), "{}", statement.sql);
        assert_eq!(statement.parameters[1], Parameter::Any(ids));
    }
}
