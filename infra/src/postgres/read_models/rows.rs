//! Rows on their way out of PostgreSQL.

use domain::Timestamp;
use projections::engine::query::{Children, Row, Select};
use projections::engine::rows::{ColumnKind, Value};
use serde_json::Value as Json;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::postgres::read_store::columns::value;

/// A row that a question found, with what belongs to it.
pub(super) fn row(found: &PgRow, select: &Select) -> sqlx::Result<Row> {
    let mut width = 0;
    let values = select.table.columns().enumerate().map(|(at, (_, kind))| {
        width = at + 1;
        value(found, at, kind)
    });
    let values = values.collect::<sqlx::Result<_>>()?;
    let children = select.children.iter().zip(width..).map(|(child, at)| children(found, child, at));
    Ok(Row::new(select.table, values, children.collect::<sqlx::Result<_>>()?))
}

/// The rows that a column has as JSON text; it is null when there are none.
fn children(found: &PgRow, child: &Children, at: usize) -> sqlx::Result<Vec<Row>> {
    let unfit = |source: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::ColumnDecode {
        index: child.table.name.to_owned(),
        source,
    };
    let Some(text) = found.try_get::<Option<&str>, _>(at)? else { return Ok(Vec::new()) };
    let rows: Vec<Vec<Json>> = serde_json::from_str(text).map_err(|error| unfit(error.into()))?;
    let row = |values: Vec<Json>| {
        let values = values.into_iter().zip(child.table.columns()).map(|(json, (name, kind))| {
            typed(json, kind).ok_or_else(|| unfit(format!("{name} holds a value of another kind").into()))
        });
        Ok(Row::new(child.table, values.collect::<sqlx::Result<_>>()?, Vec::new()))
    };
    rows.into_iter().map(row).collect()
}

fn typed(json: Json, kind: ColumnKind) -> Option<Value> {
    Some(match (kind, json) {
        (_, Json::Null) => Value::Null,
        (ColumnKind::Text, Json::String(text)) => Value::Text(text),
        (ColumnKind::Json, Json::String(text)) => Value::Json(text),
        (ColumnKind::Uuid, Json::String(text)) => Value::Uuid(text.parse().ok()?),
        (ColumnKind::Int, Json::Number(n)) => Value::Int(n.as_i64()?),
        (ColumnKind::Time, Json::Number(n)) => Value::Time(Timestamp::from_timestamp_micros(n.as_i64()?)?),
        (ColumnKind::Bool, Json::Bool(b)) => Value::Bool(b),
        _ => return None,
    })
}
