//! A row as a document of an index: what changes merge into. Every backend keeps it in this form.

use std::collections::BTreeMap;

use domain::Timestamp;
use domain::event::wire_time;
use domain::merkle::Hash;
use projections::engine::digest::RowDigest;
use projections::engine::index::{Form, SearchIndex};
use projections::engine::query::Row;
use projections::engine::rows::{Column, ColumnKind, RowChange, Value};
use projections::engine::store::StoreError;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

/// A row of an index's table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    key: Vec<Value>,
    /// The version of the source stream; 0 for a row that isn't there yet.
    pub(crate) version: u64,
    columns: BTreeMap<&'static str, Value>,
}

/// Checks that a change is one of this index's and that its values fit.
pub(crate) fn check(index: &SearchIndex, change: &RowChange) -> Result<(), StoreError> {
    let refused = |reason: String| Err(StoreError::Refused(reason));
    if change.table != index.table || change.group != index.table.groups[0].name {
        return refused(format!("the index {} has no documents of {}", index.name, change.table.name));
    }
    let key = index.table.key;
    if key.len() != change.key.len() || !key.iter().zip(&change.key).all(|(c, v)| c.kind.fits(v)) {
        return refused(format!("no key of {}", change.table.name));
    }
    for (name, value) in &change.set {
        if !index.columns().any(|column| column.name == *name && column.kind.fits(value)) {
            return refused(format!("a document has no such field or not of this kind: {name}"));
        }
    }
    Ok(())
}

/// The document's id: the key's values, last first, so that the part of a fixed length comes first.
pub(crate) fn id(key: &[Value]) -> String {
    let parts: Vec<String> = key.iter().rev().map(plain).collect();
    parts.join("/")
}

/// Whether a change sets every column: it needs nothing of what was there before.
pub(crate) fn is_whole(index: &SearchIndex, change: &RowChange) -> bool {
    index.columns().all(|column| change.set.iter().any(|(name, _)| *name == column.name))
}

impl Document {
    pub(crate) fn new(key: Vec<Value>) -> Self {
        Self { key, version: 0, columns: BTreeMap::new() }
    }

    /// Merges a checked change, unless the row is at its version already. Whether it changed.
    pub(crate) fn merge(&mut self, change: &RowChange) -> bool {
        if change.version <= self.version {
            return false;
        }
        self.version = change.version;
        self.columns.extend(change.set.iter().cloned());
        true
    }

    /// The `_source`.
    pub(crate) fn to_source(&self, index: &SearchIndex) -> Result<Vec<u8>, StoreError> {
        let mut source = Map::new();
        source.insert("doc_type".to_owned(), index.document.into());
        source.insert(index.version_field(), self.version.into());
        let key = index.table.key.iter().map(|column| column.name).zip(&self.key);
        for (name, value) in key.chain(self.columns.iter().map(|(name, value)| (*name, value))) {
            source.insert(name.to_owned(), to_json(index, name, value)?);
        }
        serde_json::to_vec(&source).map_err(|e| StoreError::Refused(e.to_string()))
    }

    /// Reads a `_source`.
    pub(crate) fn from_source(index: &SearchIndex, source: &Json) -> Result<Self, StoreError> {
        let unfit = |name: &str| {
            StoreError::Unavailable(format!("a document of {} can't be read: {name}", index.name))
        };
        let read = |column: &'static Column| {
            from_json(index, column, &source[column.name]).ok_or_else(|| unfit(column.name))
        };
        let key = index.table.key.iter().map(read).collect::<Result<_, _>>()?;
        let version = source[index.version_field()].as_u64().ok_or_else(|| unfit("version"))?;
        let columns = index.columns().map(|column| Ok((column.name, read(column)?)));
        Ok(Self { key, version, columns: columns.collect::<Result<_, StoreError>>()? })
    }

    pub(crate) fn key(&self) -> &[Value] {
        &self.key
    }

    /// The value of a column.
    pub(crate) fn get(&self, index: &SearchIndex, name: &str) -> &Value {
        let key = index.table.key.iter().zip(&self.key).find(|(column, _)| column.name == name);
        key.map(|(_, value)| value).or_else(|| self.columns.get(name)).unwrap_or(&Value::Null)
    }

    /// As a row of the index's table.
    pub(crate) fn into_row(mut self, index: &SearchIndex) -> Row {
        let version = Value::Int(i64::try_from(self.version).unwrap_or(i64::MAX));
        let columns = index.columns().map(|column| self.columns.remove(column.name).unwrap_or(Value::Null));
        let columns: Vec<Value> = columns.collect();
        Row::new(index.table, self.key.into_iter().chain([version]).chain(columns).collect(), Vec::new())
    }

    /// Adds the row to a digest, in the form that every backend has.
    pub(crate) fn add_to(&self, index: &SearchIndex, digest: &mut RowDigest) {
        let version = Value::Int(i64::try_from(self.version).unwrap_or(i64::MAX));
        let columns = index.columns().map(|column| self.get(index, column.name));
        digest.row(self.key.iter().chain([&version]).chain(columns));
    }

    /// The digest of this row alone.
    pub(crate) fn digest(&self, index: &SearchIndex) -> Hash {
        let mut digest = RowDigest::default();
        self.add_to(index, &mut digest);
        digest.finish()
    }
}

pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Text(text) | Value::Json(text) => text.clone(),
        Value::Int(n) => n.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Uuid(id) => id.to_string(),
        Value::Time(at) => wire_time(*at),
    }
}

/// Whether JSON is an object in the document, and not its exact text.
fn is_object(index: &SearchIndex, column: &str) -> bool {
    matches!(index.form(column, ColumnKind::Json), Form::Objects(_))
}

fn to_json(index: &SearchIndex, name: &str, value: &Value) -> Result<Json, StoreError> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Int(n) => (*n).into(),
        Value::Bool(b) => (*b).into(),
        Value::Json(text) if is_object(index, name) => {
            serde_json::from_str(text).map_err(|e| StoreError::Refused(format!("{name}: {e}")))?
        }
        other => plain(other).into(),
    })
}

fn from_json(index: &SearchIndex, column: &Column, json: &Json) -> Option<Value> {
    if json.is_null() {
        return Some(Value::Null);
    }
    Some(match column.kind {
        ColumnKind::Json if is_object(index, column.name) => Value::Json(json.to_string()),
        ColumnKind::Json => Value::Json(json.as_str()?.to_owned()),
        ColumnKind::Text => Value::Text(json.as_str()?.to_owned()),
        ColumnKind::Int => Value::Int(json.as_i64()?),
        ColumnKind::Bool => Value::Bool(json.as_bool()?),
        ColumnKind::Uuid => Value::Uuid(Uuid::parse_str(json.as_str()?).ok()?),
        ColumnKind::Time => {
            Value::Time(Timestamp::from(chrono::DateTime::parse_from_rfc3339(json.as_str()?).ok()?))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use projections::audit::documents::{INDEX, SEARCH_EVENTS};

    fn change(version: u64, set: Vec<(&'static str, Value)>) -> RowChange {
        let key = vec![Value::Uuid(Uuid::from_u128(7))];
        RowChange { table: &SEARCH_EVENTS, key, group: "event", version, set }
    }

    #[test]
    fn documents_are_read_as_they_were_written() {
        let index = &INDEX;
        let at = Timestamp::from_timestamp_micros(1_700_000_000_000_123).unwrap();
        let set = vec![
            ("time", Value::Time(at)),
            ("n", Value::Int(i64::MAX)),
            ("data", Value::Json("{\"a\": 1.0}".into())),
            ("actor", Value::Null),
        ];
        let change = change(3, set);
        check(index, &change).unwrap();
        let mut document = Document::new(change.key.clone());
        assert!(document.merge(&change));
        assert!(!document.merge(&change), "the same version again");
        let source = serde_json::from_slice(&document.to_source(index).unwrap()).unwrap();
        let read = Document::from_source(index, &source).unwrap();
        assert_eq!(read.digest(index), document.digest(index));
        assert_eq!((read.version, id(read.key())), (3, Uuid::from_u128(7).to_string()));
    }

    #[test]
    fn a_change_that_fits_no_document_is_refused() {
        let index = &INDEX;
        for set in [("no_such", Value::Null), ("n", Value::Text("1".into()))] {
            let refused = check(index, &change(1, vec![set]));
            assert!(matches!(refused, Err(StoreError::Refused(_))));
        }
    }
}
