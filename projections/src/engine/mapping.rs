//! What the mappings share: columns, values, and reading an event.

use domain::event::RecordedEvent;
use domain::upcast::DecodeError;
use serde::Serialize;

use crate::engine::rows::{Column, ColumnKind, Value, col};

/// Whose row it is.
pub const TENANT: Column =
    col("tenant", ColumnKind::Text, "Whose shop it is; `default` where there is only one");
/// When what it shows began.
pub const CREATED_AT: Column = col("created_at", ColumnKind::Time, "When it began");
/// When what it shows last changed.
pub const UPDATED_AT: Column = col("updated_at", ColumnKind::Time, "When it last changed");

pub(crate) fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}

/// The name that a unit variant has on the wire.
pub(crate) fn wire_name(event: &RecordedEvent, value: &impl Serialize) -> Result<Value, DecodeError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => Ok(Value::Text(name)),
        _ => Err(event.unfit("a status has no name on the wire")),
    }
}

pub(crate) fn json(event: &RecordedEvent, value: &impl Serialize) -> Result<Value, DecodeError> {
    serde_json::to_string(value).map(Value::Json).map_err(|e| DecodeError::shape(&event.event_type, &e))
}

pub(crate) fn int(event: &RecordedEvent, value: u64) -> Result<Value, DecodeError> {
    i64::try_from(value).map(Value::Int).map_err(|_| event.unfit("a number is too large for a column"))
}

pub(crate) fn tenant(event: &RecordedEvent) -> Value {
    text(event.stream.tenant())
}
