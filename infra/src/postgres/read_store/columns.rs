//! Values of columns on their way in and out of PostgreSQL.

use domain::Timestamp;
use projections::engine::rows::{ColumnKind, Value};
use projections::engine::store::StoreError;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Postgres, Row};
use uuid::Uuid;

/// The type that a column is declared with. Texts compare by their bytes, as everywhere in Tillstream.
pub(super) fn sql_type(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Text => "text COLLATE \"C\"",
        // Not jsonb: the text stays as it is.
        ColumnKind::Json => "json",
        ColumnKind::Int => "bigint",
        ColumnKind::Bool => "boolean",
        ColumnKind::Time => "timestamptz",
        ColumnKind::Uuid => "uuid",
    }
}

/// The type of a parameter that brings many values.
pub(super) fn array_type(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Text | ColumnKind::Json => "text[]",
        ColumnKind::Int => "bigint[]",
        ColumnKind::Bool => "boolean[]",
        ColumnKind::Time => "timestamptz[]",
        ColumnKind::Uuid => "uuid[]",
    }
}

/// The values of one column in many rows.
pub(super) enum Values<'a> {
    Text(Vec<Option<&'a str>>),
    Int(Vec<Option<i64>>),
    Bool(Vec<Option<bool>>),
    Time(Vec<Option<Timestamp>>),
    Uuid(Vec<Option<Uuid>>),
}

impl<'a> Values<'a> {
    pub(super) fn with_capacity(kind: ColumnKind, rows: usize) -> Self {
        match kind {
            ColumnKind::Text | ColumnKind::Json => Self::Text(Vec::with_capacity(rows)),
            ColumnKind::Int => Self::Int(Vec::with_capacity(rows)),
            ColumnKind::Bool => Self::Bool(Vec::with_capacity(rows)),
            ColumnKind::Time => Self::Time(Vec::with_capacity(rows)),
            ColumnKind::Uuid => Self::Uuid(Vec::with_capacity(rows)),
        }
    }

    /// Adds a value that [`check`] found fit.
    pub(super) fn push(&mut self, value: &'a Value) {
        match self {
            Self::Text(values) => values.push(match value {
                Value::Text(text) | Value::Json(text) => Some(text),
                _ => None,
            }),
            Self::Int(values) => values.push(if let Value::Int(n) = value { Some(*n) } else { None }),
            Self::Bool(values) => values.push(if let Value::Bool(b) = value { Some(*b) } else { None }),
            Self::Time(values) => values.push(if let Value::Time(at) = value { Some(*at) } else { None }),
            Self::Uuid(values) => values.push(if let Value::Uuid(id) = value { Some(*id) } else { None }),
        }
    }

    pub(super) fn bind(self, query: Query<'a, Postgres, PgArguments>) -> Query<'a, Postgres, PgArguments> {
        match self {
            Self::Text(values) => query.bind(values),
            Self::Int(values) => query.bind(values),
            Self::Bool(values) => query.bind(values),
            Self::Time(values) => query.bind(values),
            Self::Uuid(values) => query.bind(values),
        }
    }
}

/// Whether a value fits a column. PostgreSQL keeps no text with a zero character.
///
/// # Errors
/// [`StoreError::Refused`].
pub(super) fn check(name: &str, kind: ColumnKind, value: &Value) -> Result<(), StoreError> {
    let fits = match (kind, value) {
        (ColumnKind::Text, Value::Text(text)) | (ColumnKind::Json, Value::Json(text)) => {
            if text.contains('\0') {
                return Err(StoreError::Refused(format!("the text for {name} has a zero character")));
            }
            true
        }
        (_, Value::Null)
        | (ColumnKind::Int, Value::Int(_))
        | (ColumnKind::Bool, Value::Bool(_))
        | (ColumnKind::Time, Value::Time(_))
        | (ColumnKind::Uuid, Value::Uuid(_)) => true,
        _ => false,
    };
    if fits { Ok(()) } else { Err(StoreError::Refused(format!("the value for {name} is of another type"))) }
}

/// The value of a column of a kind.
pub(in crate::postgres) fn value(row: &PgRow, index: usize, kind: ColumnKind) -> sqlx::Result<Value> {
    let null = || Value::Null;
    Ok(match kind {
        ColumnKind::Text => row.try_get::<Option<String>, _>(index)?.map_or_else(null, Value::Text),
        // Its text, byte for byte: whoever selects it casts it.
        ColumnKind::Json => row.try_get::<Option<String>, _>(index)?.map_or_else(null, Value::Json),
        ColumnKind::Int => row.try_get::<Option<i64>, _>(index)?.map_or_else(null, Value::Int),
        ColumnKind::Bool => row.try_get::<Option<bool>, _>(index)?.map_or_else(null, Value::Bool),
        ColumnKind::Time => row.try_get::<Option<Timestamp>, _>(index)?.map_or_else(null, Value::Time),
        ColumnKind::Uuid => row.try_get::<Option<Uuid>, _>(index)?.map_or_else(null, Value::Uuid),
    })
}

/// `"name"`, cast so that [`value`] reads it.
pub(crate) fn selected(name: &str, kind: ColumnKind) -> String {
    if kind == ColumnKind::Json { format!("\"{name}\"::text") } else { format!("\"{name}\"") }
}
