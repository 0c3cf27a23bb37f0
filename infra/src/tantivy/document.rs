//! The index's fields, and a row as a document of them.

use ::tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions,
};
use ::tantivy::{TantivyDocument, Term};
use std::sync::LazyLock;
use uuid::Uuid;

use super::row::SearchRow;
use crate::price_order;
use crate::product_query::WEIGHTS;

/// Names of the fast fields, which segments know by name.
pub(super) mod fast {
    pub(in super::super) const CATEGORY: &str = "category";
    pub(in super::super) const PRICE: &str = "price";
    /// The price's place in the order of prices, cheapest first.
    pub(in super::super) const PRICE_ORDER: &str = "price_order";
    pub(in super::super) const CREATED: &str = "created";
    pub(in super::super) const SORT_NAME: &str = "sort_name";
    pub(in super::super) const ID_HIGH: &str = "id_high";
    pub(in super::super) const ID_LOW: &str = "id_low";
}

/// The fields. A tombstone has only `key` and `row`, so no search finds it.
pub(super) struct Fields {
    pub(super) schema: Schema,
    /// Tenant and product id: what a document is replaced by.
    pub(super) key: Field,
    /// The row, JSON.
    pub(super) row: Field,
    pub(super) tenant: Field,
    category: Field,
    /// The category in its normal form.
    pub(super) category_key: Field,
    pub(super) currency: Field,
    pub(super) price: Field,
    price_order: Field,
    created: Field,
    sort_name: Field,
    id_high: Field,
    id_low: Field,
    /// Folded words, with what a match in them weighs.
    pub(super) words: [(Field, &'static str, f32); 5],
}

/// The one schema.
pub(super) static FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    let mut schema = Schema::builder();
    let words = TextOptions::default().set_indexing_options(
        // Words are folded by the projection; here they only fall apart at spaces.
        TextFieldIndexing::default()
            .set_tokenizer("whitespace")
            // Pairs of letters are looked for side by side.
            .set_index_option(IndexRecordOption::WithFreqsAndPositions),
    );
    let key = schema.add_text_field("key", STRING);
    let row = schema.add_text_field("row", STORED);
    let tenant = schema.add_text_field("tenant", STRING);
    let category = schema.add_text_field(fast::CATEGORY, STRING | FAST);
    let category_key = schema.add_text_field("category_key", STRING);
    let currency = schema.add_text_field("currency", STRING);
    let price = schema.add_i64_field(fast::PRICE, INDEXED | FAST);
    let price_order = schema.add_i64_field(fast::PRICE_ORDER, FAST);
    let created = schema.add_i64_field(fast::CREATED, FAST);
    let sort_name = schema.add_text_field(fast::SORT_NAME, TextOptions::default().set_fast("raw"));
    let id_high = schema.add_u64_field(fast::ID_HIGH, FAST);
    let id_low = schema.add_u64_field(fast::ID_LOW, FAST);
    let words =
        WEIGHTS.map(|(column, weight)| (schema.add_text_field(column, words.clone()), column, weight));
    let schema = schema.build();
    Fields {
        schema,
        key,
        row,
        tenant,
        category,
        category_key,
        currency,
        price,
        price_order,
        created,
        sort_name,
        id_high,
        id_low,
        words,
    }
});

/// The term that names a document.
pub(super) fn key_term(tenant: &str, id: Uuid) -> Term {
    Term::from_field_text(FIELDS.key, &key_text(tenant, id))
}

/// The id has a fixed length, so no two keys look the same.
pub(super) fn key_text(tenant: &str, id: Uuid) -> String {
    format!("{id}/{tenant}")
}

/// The document of a row.
pub(super) fn document(row: &SearchRow) -> serde_json::Result<TantivyDocument> {
    let fields = &*FIELDS;
    let mut document = TantivyDocument::default();
    document.add_text(fields.key, key_text(&row.tenant, row.id));
    document.add_text(fields.row, serde_json::to_string(row)?);
    if !row.is_live() {
        return Ok(document);
    }
    document.add_text(fields.tenant, &row.tenant);
    document.add_text(fields.category, row.text("category").unwrap_or_default());
    document.add_text(fields.category_key, row.text("category_key").unwrap_or_default());
    document.add_text(fields.currency, row.text("currency").unwrap_or_default());
    document.add_i64(fields.price, row.int("price_amount").unwrap_or_default());
    document.add_i64(fields.price_order, row.price().map_or(0, price_order::ascending));
    document.add_i64(fields.created, row.int("created_at").unwrap_or_default());
    document.add_text(fields.sort_name, row.text("sort_name").unwrap_or_default());
    let (high, low) = row.id.as_u64_pair();
    document.add_u64(fields.id_high, high);
    document.add_u64(fields.id_low, low);
    for (field, column, _) in fields.words {
        document.add_text(field, row.text(column).unwrap_or_default());
    }
    Ok(document)
}
