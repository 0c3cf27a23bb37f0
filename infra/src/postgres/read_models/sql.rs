//! Putting a question together from the conditions it has, and asking it.

use projections::engine::rows::Value;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::{Arguments as _, Encode, Postgres, Type};

use crate::read_sql::{Parameter, Statement};

/// A statement with its parameters as the driver takes them.
pub(super) struct Query {
    sql: String,
    arguments: PgArguments,
    /// What can't be sent to the server, or can't be in any row.
    fault: Option<Fault>,
}

enum Fault {
    /// PostgreSQL's text has no NUL, so no row can have this value.
    NoSuchText,
    Unfit(sqlx::Error),
}

impl Query {
    /// A statement with its parameters.
    pub(super) fn of(statement: Statement) -> Self {
        let mut query = Self { sql: statement.sql, arguments: PgArguments::default(), fault: None };
        for parameter in &statement.parameters {
            match parameter {
                Parameter::One(value) => query.one(value),
                Parameter::Any(values) => query.any(values),
            }
        }
        query
    }

    fn one(&mut self, value: &Value) {
        match value {
            Value::Text(text) | Value::Json(text) => drop(self.text(text)),
            Value::Int(n) => drop(self.value(*n)),
            Value::Bool(b) => drop(self.value(*b)),
            Value::Uuid(id) => drop(self.value(*id)),
            Value::Time(at) => drop(self.value(*at)),
            Value::Null => drop(self.value(None::<String>)),
        }
    }

    /// Adds an array. The values are of the kind of the first one; a text that no row can have is left out.
    fn any(&mut self, values: &[Value]) {
        let ids =
            values.iter().filter_map(|value| if let Value::Uuid(id) = value { Some(*id) } else { None });
        let ints = values.iter().filter_map(|value| if let Value::Int(n) = value { Some(*n) } else { None });
        let texts = values.iter().filter_map(|value| match value {
            Value::Text(text) if !text.contains('\0') => Some(text.clone()),
            _ => None,
        });
        match values.first() {
            Some(Value::Uuid(_)) => drop(self.value(ids.collect::<Vec<_>>())),
            Some(Value::Int(_)) => drop(self.value(ints.collect::<Vec<_>>())),
            _ => drop(self.value(texts.collect::<Vec<_>>())),
        }
    }

    /// A statement that ends in its first condition, which is the tenant.
    pub(super) fn of_tenant(select: &str, tenant: &str) -> Self {
        let sql = select.trim_end().to_owned();
        let mut query = Self { sql, arguments: PgArguments::default(), fault: None };
        query.text(tenant);
        query
    }

    /// Adds a parameter; its place in the statement.
    pub(super) fn value<'q>(&mut self, value: impl Encode<'q, Postgres> + Type<Postgres> + 'q) -> String {
        if let Err(error) = self.arguments.add(value) {
            self.fault.get_or_insert(Fault::Unfit(sqlx::Error::Encode(error)));
        }
        format!("${}", self.arguments.len())
    }

    /// Adds a parameter that is text; its place in the statement.
    pub(super) fn text(&mut self, value: &str) -> String {
        if value.contains('\0') {
            self.fault.get_or_insert(Fault::NoSuchText);
        }
        self.value(value)
    }

    /// Adds a condition.
    pub(super) fn and(&mut self, condition: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
    }

    /// Adds: the column has this text.
    pub(super) fn and_text(&mut self, column: &str, text: &str) {
        let value = self.text(text);
        self.and(&format!("{column} = {value}"));
    }

    /// The rows.
    pub(super) async fn rows(self, conn: &mut PgConnection) -> sqlx::Result<Vec<PgRow>> {
        match self.fault {
            None => sqlx::query_with(&self.sql, self.arguments).fetch_all(conn).await,
            Some(Fault::NoSuchText) => Ok(Vec::new()),
            Some(Fault::Unfit(error)) => Err(error),
        }
    }
}
