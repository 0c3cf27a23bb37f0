//! The row that a document holds: what changes merge into, kept in the document as JSON.

use domain::catalogue::product::ProductView;
use std::collections::BTreeMap;

use domain::Timestamp;
use domain::merkle::Hash;
use domain::money::Money;
use projections::catalogue::documents::SEARCH_PRODUCTS;
use projections::engine::digest::RowDigest;
use projections::engine::rows::{Column, ColumnKind, RowChange, Value};
use projections::engine::store::StoreError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A row of [`SEARCH_PRODUCTS`]; values as JSON, instants as microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SearchRow {
    pub(super) tenant: String,
    pub(super) id: Uuid,
    pub(super) version: u64,
    pub(super) columns: BTreeMap<String, serde_json::Value>,
}

/// The key of a change: tenant and product id.
pub(super) fn key_of(change: &RowChange) -> Result<(&str, Uuid), StoreError> {
    match (
        std::ptr::eq(change.table, &SEARCH_PRODUCTS) || change.table == &SEARCH_PRODUCTS,
        change.key.as_slice(),
    ) {
        (true, [Value::Text(tenant), Value::Uuid(id)]) => Ok((tenant, *id)),
        _ => Err(StoreError::Refused(format!("the index has no documents of {}", change.table.name))),
    }
}

fn column(name: &str) -> Option<&'static Column> {
    SEARCH_PRODUCTS.groups.iter().flat_map(|group| group.columns).find(|column| column.name == name)
}

impl SearchRow {
    pub(super) fn new(tenant: &str, id: Uuid) -> Self {
        Self { tenant: tenant.to_owned(), id, version: 0, columns: BTreeMap::new() }
    }

    /// Merges a change, unless the row is at its version already. Whether it changed.
    pub(super) fn merge(&mut self, change: &RowChange) -> Result<bool, StoreError> {
        for (name, value) in &change.set {
            if !column(name).is_some_and(|column| column.kind.fits(value)) {
                return Err(StoreError::Refused(format!(
                    "a document has no such field or not of this kind: {name}"
                )));
            }
        }
        if change.version <= self.version {
            return Ok(false);
        }
        self.version = change.version;
        for (name, value) in &change.set {
            self.columns.insert((*name).to_owned(), to_json(value));
        }
        Ok(true)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.columns.get(name)?.as_str()
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        self.columns.get(name)?.as_i64()
    }

    /// The price of one.
    pub(super) fn price(&self) -> Option<Money> {
        Some(Money::new(self.int("price_amount")?, self.text("currency")?.parse().ok()?))
    }

    /// Whether searches find it.
    pub(super) fn is_live(&self) -> bool {
        self.columns.get("discontinued").and_then(serde_json::Value::as_bool) == Some(false)
    }

    /// The product; `None` when a field is missing, which no live document's is.
    pub(super) fn product(&self) -> Option<ProductView> {
        let time = |name| Timestamp::from_timestamp_micros(self.int(name)?);
        Some(ProductView {
            id: self.id,
            sku: self.text("sku")?.to_owned(),
            name: self.text("name")?.to_owned(),
            description: self.text("description")?.to_owned(),
            category: self.text("category")?.to_owned(),
            attributes: serde_json::from_str(self.text("attributes")?).ok()?,
            price: self.price()?,
            discontinued: !self.is_live(),
            version: self.version,
            created_at: time("created_at")?,
            updated_at: time("updated_at")?,
        })
    }

    /// Adds the row to a digest, in the form that every backend has.
    pub(super) fn add_to(&self, digest: &mut RowDigest) {
        let mut values = vec![Value::Text(self.tenant.clone()), Value::Uuid(self.id)];
        values.push(Value::Int(i64::try_from(self.version).unwrap_or(i64::MAX)));
        let columns = SEARCH_PRODUCTS.groups.iter().flat_map(|group| group.columns);
        values.extend(columns.map(|column| self.value(column)));
        digest.row(values.iter());
    }

    pub(super) fn digest(&self) -> Hash {
        let mut digest = RowDigest::default();
        self.add_to(&mut digest);
        digest.finish()
    }

    fn value(&self, column: &Column) -> Value {
        let name = column.name;
        let value = match column.kind {
            ColumnKind::Text => self.text(name).map(|v| Value::Text(v.to_owned())),
            ColumnKind::Json => self.text(name).map(|v| Value::Json(v.to_owned())),
            ColumnKind::Int => self.int(name).map(Value::Int),
            ColumnKind::Bool => self.columns.get(name).and_then(serde_json::Value::as_bool).map(Value::Bool),
            ColumnKind::Uuid => self.text(name).and_then(|v| v.parse().ok()).map(Value::Uuid),
            ColumnKind::Time => self.int(name).and_then(Timestamp::from_timestamp_micros).map(Value::Time),
        };
        value.unwrap_or(Value::Null)
    }
}

fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Text(text) | Value::Json(text) => text.as_str().into(),
        Value::Int(n) => (*n).into(),
        Value::Bool(b) => (*b).into(),
        Value::Uuid(id) => id.to_string().into(),
        Value::Time(at) => at.timestamp_micros().into(),
    }
}
