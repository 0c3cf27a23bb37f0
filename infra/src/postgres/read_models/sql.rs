//! Putting a question together from the conditions it has, and asking it.

use projections::engine::rows::Value;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::{Arguments as _, Encode, Postgres, Type};

use crate::read_sql::Statement;

/// A statement and its parameters, in order. Only the conditions that are there become part of the text, so that an index can
/// serve them; their values don't, so that one prepared statement serves all of them.
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
                Value::Text(text) | Value::Json(text) => drop(query.text(text)),
                Value::Int(n) => drop(query.value(*n)),
                Value::Bool(b) => drop(query.value(*b)),
                Value::Uuid(id) => drop(query.value(*id)),
                Value::Time(at) => drop(query.value(*at)),
                Value::Null => drop(query.value(None::<String>)),
            }
        }
        query
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
