//! The fields of an index, read from its declaration, and a document of them.

use ::tantivy::schema::{
    Field, IndexRecordOption, NumericOptions, STORED, STRING, Schema, TextFieldIndexing, TextOptions,
};
use ::tantivy::{TantivyDocument, TantivyError, Term};
use projections::engine::index::SearchIndex;
use projections::engine::rows::{ColumnKind, Value};
use projections::engine::store::StoreError;

use crate::search_document::{self, Document};

/// The fields. A tombstone has only `key` and `row`, so no search finds it.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) index: &'static SearchIndex,
    pub(super) schema: Schema,
    /// What a document is replaced by.
    key: Field,
    /// The row.
    row: Field,
    columns: Vec<(&'static str, Held)>,
    /// Folded words, with what a match in them weighs.
    pub(super) words: Vec<(Field, &'static str, f32)>,
}

/// What holds a column's values.
#[derive(Debug, Clone, Copy)]
enum Held {
    Text(Field),
    /// Instants are microseconds since 1970.
    Number(Field),
    /// Both halves of an id, to sort by.
    Halves(Field, Field),
}

/// The halves of an id, as segments know them.
pub(super) fn high(column: &str) -> String {
    format!("{column}_high")
}

pub(super) fn low(column: &str) -> String {
    format!("{column}_low")
}

impl Fields {
    /// The fields of an index.
    pub(super) fn of(index: &'static SearchIndex) -> Self {
        let mut schema = Schema::builder();
        let words = TextOptions::default().set_indexing_options(
            // Words are folded by the projection; here they only fall apart at spaces.
            TextFieldIndexing::default()
                .set_tokenizer("whitespace")
                // Pairs of letters are looked for side by side.
                .set_index_option(IndexRecordOption::WithFreqsAndPositions),
        );
        let key = schema.add_text_field("_key", STRING);
        let row = schema.add_bytes_field("_row", STORED);
        let mut columns = Vec::new();
        for column in index.table.key.iter().chain(index.columns()) {
            let name = column.name;
            let filtered = name == "tenant" || index.filters.contains(&name);
            let sorted = index.orders.contains(&name) || index.facets.contains(&name);
            let is_id = column.kind == ColumnKind::Uuid;
            match column.kind {
                _ if !filtered && !sorted => {}
                ColumnKind::Text | ColumnKind::Json | ColumnKind::Uuid => {
                    let mut options = if filtered { STRING } else { TextOptions::default() };
                    if sorted && !is_id {
                        options = options.set_fast("raw");
                    }
                    if filtered || !is_id {
                        columns.push((name, Held::Text(schema.add_text_field(name, options))));
                    }
                    if sorted && is_id {
                        let mut half =
                            |name: &str| schema.add_u64_field(name, NumericOptions::default().set_fast());
                        columns.push((name, Held::Halves(half(&high(name)), half(&low(name)))));
                    }
                }
                ColumnKind::Int | ColumnKind::Bool | ColumnKind::Time => {
                    let mut options = NumericOptions::default();
                    if filtered {
                        options = options.set_indexed();
                    }
                    if sorted {
                        options = options.set_fast();
                    }
                    columns.push((name, Held::Number(schema.add_i64_field(name, options))));
                }
            }
        }
        let words = index
            .words()
            .map(|(column, weight)| (schema.add_text_field(column, words.clone()), column, weight));
        let words = words.collect();
        Self { index, schema: schema.build(), key, row, columns, words }
    }

    /// The term that names a document.
    pub(super) fn key(&self, key: &[Value]) -> Term {
        Term::from_field_text(self.key, &search_document::id(key))
    }

    /// The term of a value that a filter compares; `None` when the index has no such filter, or not of such values.
    pub(super) fn term(&self, column: &str, value: &Value) -> Option<Term> {
        self.columns.iter().filter(|(name, _)| *name == column).find_map(|(_, held)| match held {
            Held::Text(field) => Some(Term::from_field_text(*field, &text(value)?)),
            Held::Number(field) => Some(Term::from_field_i64(*field, number(value)?)),
            Held::Halves(..) => None,
        })
    }

    /// What a column holds.
    pub(super) fn kind(&self, column: &str) -> ::tantivy::Result<ColumnKind> {
        let found = self.index.table.column(column).map(|(_, kind)| kind);
        found.ok_or_else(|| TantivyError::FieldNotFound(column.to_owned()))
    }

    /// The document of a row.
    pub(super) fn document(&self, row: &Document) -> Result<TantivyDocument, StoreError> {
        let mut document = TantivyDocument::default();
        document.add_text(self.key, search_document::id(row.key()));
        document.add_bytes(self.row, &row.to_source(self.index)?);
        if self.index.gone.is_some_and(|gone| row.get(self.index, gone) != &Value::Bool(false)) {
            return Ok(document);
        }
        for (column, held) in &self.columns {
            let value = row.get(self.index, column);
            match held {
                Held::Text(field) => document.add_text(*field, text(value).unwrap_or_default()),
                Held::Number(field) => document.add_i64(*field, number(value).unwrap_or_default()),
                Held::Halves(high, low) => {
                    let id = if let Value::Uuid(id) = value { *id } else { uuid::Uuid::nil() };
                    let halves = id.as_u64_pair();
                    document.add_u64(*high, halves.0);
                    document.add_u64(*low, halves.1);
                }
            }
        }
        for (field, column, _) in &self.words {
            document.add_text(*field, text(row.get(self.index, column)).unwrap_or_default());
        }
        Ok(document)
    }

    /// The row that a document holds.
    pub(super) fn row(&self, document: &TantivyDocument) -> ::tantivy::Result<Document> {
        use ::tantivy::schema::Value as _;
        let unfit =
            |reason: String| TantivyError::InternalError(format!("a document can't be read: {reason}"));
        let bytes = document.get_first(self.row).and_then(|value| value.as_bytes()).unwrap_or_default();
        let source = serde_json::from_slice(bytes).map_err(|e| unfit(e.to_string()))?;
        Document::from_source(self.index, &source).map_err(|e| unfit(e.to_string()))
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) | Value::Json(text) => Some(text.clone()),
        Value::Uuid(id) => Some(id.to_string()),
        _ => None,
    }
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(n) => Some(*n),
        Value::Bool(b) => Some(i64::from(*b)),
        Value::Time(at) => Some(at.timestamp_micros()),
        _ => None,
    }
}
