//! Values of columns on their way in and out of SQLite.

use domain::Timestamp;
use projections::engine::rows::{ColumnKind, Value};
use rusqlite::Row;
use rusqlite::types::{ToSqlOutput, Type, ValueRef};
use uuid::Uuid;

/// The SQLite type of a column.
#[must_use]
pub fn sql_type(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Text | ColumnKind::Json => "TEXT",
        ColumnKind::Int | ColumnKind::Bool | ColumnKind::Time => "INTEGER",
        ColumnKind::Uuid => "BLOB",
    }
}

/// A value as SQLite takes it.
#[must_use]
pub fn bound(value: &Value) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match value {
        Value::Null => ValueRef::Null,
        Value::Text(text) | Value::Json(text) => ValueRef::Text(text.as_bytes()),
        Value::Int(n) => ValueRef::Integer(*n),
        Value::Bool(b) => ValueRef::Integer(i64::from(*b)),
        Value::Time(at) => ValueRef::Integer(at.timestamp_micros()),
        Value::Uuid(id) => ValueRef::Blob(id.as_bytes()),
    })
}

/// The value of a column of a kind.
///
/// # Errors
/// When the column holds something else.
pub fn value(row: &Row<'_>, index: usize, kind: ColumnKind) -> rusqlite::Result<Value> {
    if row.get_ref(index)? == ValueRef::Null {
        return Ok(Value::Null);
    }
    Ok(match kind {
        ColumnKind::Text => Value::Text(row.get(index)?),
        ColumnKind::Json => Value::Json(row.get(index)?),
        ColumnKind::Int => Value::Int(row.get(index)?),
        ColumnKind::Bool => Value::Bool(row.get(index)?),
        ColumnKind::Uuid => Value::Uuid(uuid(row, index)?),
        ColumnKind::Time => Value::Time(time(row, index)?),
    })
}

/// A UUID column.
///
/// # Errors
/// When it holds something else.
pub fn uuid(row: &Row<'_>, index: usize) -> rusqlite::Result<Uuid> {
    row.get::<_, [u8; 16]>(index).map(Uuid::from_bytes)
}

/// A UUID column that may be null.
///
/// # Errors
/// When it holds something else.
pub fn optional_uuid(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Uuid>> {
    Ok(row.get::<_, Option<[u8; 16]>>(index)?.map(Uuid::from_bytes))
}

/// An instant.
///
/// # Errors
/// When the column holds something else.
pub fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Timestamp> {
    let micros: i64 = row.get(index)?;
    Timestamp::from_timestamp_micros(micros).ok_or_else(|| unfit(index, Type::Integer, "not an instant"))
}

/// JSON text of a known shape.
///
/// # Errors
/// When the column holds something else.
pub fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(index)?.as_str()?;
    serde_json::from_str(text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(e)))
}

pub(super) fn unfit(index: usize, found: Type, reason: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, found, reason.into())
}
