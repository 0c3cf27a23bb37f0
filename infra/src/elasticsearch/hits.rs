//! From a search's answer to products.

use domain::catalogue::product::ProductView;
use projections::catalogue::documents::{INDEX, SearchHits};
use projections::catalogue::products::ProductSort;
use projections::engine::query::{Listed, Page};
use projections::engine::read_models::ReadError;
use projections::engine::rows::Value;
use serde_json::Value as Json;

use super::document::Document;
use crate::keyset::{Keyset, SortValue};
use crate::price_order;
use crate::product_query::{ProductQuery, score_key};

/// Reads an answer: its rows, and the end of the page if there is another one.
pub(super) fn hits(
    answer: &Json,
    wanted: &ProductQuery,
    page: &Page,
) -> Result<(SearchHits, Option<Keyset>), ReadError> {
    let unfit =
        |what: &str| ReadError::Unavailable(format!("elasticsearch: an answer can't be read: {what}"));
    if answer["timed_out"] == true {
        return Err(ReadError::Overloaded);
    }
    if answer["_shards"]["failed"].as_u64() != Some(0) {
        return Err(ReadError::Unavailable("elasticsearch: a part of the index didn't answer".to_owned()));
    }
    let found = answer["hits"]["hits"].as_array().ok_or_else(|| unfit("hits"))?;
    let mut items = Vec::with_capacity(found.len().min(page.limit));
    for hit in found.iter().take(page.limit) {
        let document = Document::from_source(&INDEX, &hit["_source"])
            .map_err(|e| ReadError::Unavailable(e.to_string()))?;
        items.push(product(&document).ok_or_else(|| unfit("a live document lacks a field"))?);
    }
    let last = items.last().zip(found.get(items.len().wrapping_sub(1)));
    let next = last.filter(|_| found.len() > page.limit).map(|(row, hit)| {
        let value = sort_value(wanted.sort, row, hit).ok_or_else(|| unfit("sort"))?;
        Ok::<_, ReadError>(Keyset { value, created: row.created_at.timestamp_micros(), id: row.id })
    });
    let buckets =
        answer["aggregations"]["categories"]["buckets"].as_array().ok_or_else(|| unfit("facets"))?;
    let bucket = |bucket: &Json| Some((bucket["key"].as_str()?.to_owned(), bucket["doc_count"].as_u64()?));
    let mut categories: Vec<(String, u64)> = buckets.iter().filter_map(bucket).collect();
    categories.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let total = answer["hits"]["total"]["value"].as_u64().ok_or_else(|| unfit("total"))?;
    Ok((SearchHits { page: Listed { items, next: None }, total, categories }, next.transpose()?))
}

fn sort_value(sort: ProductSort, row: &ProductView, hit: &Json) -> Option<SortValue> {
    Some(match sort {
        ProductSort::Created => SortValue::None,
        ProductSort::PriceAsc => SortValue::Number(price_order::ascending(row.price)),
        ProductSort::PriceDesc => SortValue::Number(price_order::descending(row.price)),
        ProductSort::Name => SortValue::Text(hit["_source"]["sort_name"].as_str()?.to_owned()),
        // Elasticsearch computes with 32 bits and writes them exactly.
        #[expect(clippy::cast_possible_truncation, reason = "the number came from 32 bits")]
        ProductSort::Relevance => SortValue::Number(score_key(hit["sort"][0].as_f64()? as f32)),
    })
}

/// The product that a document holds; `None` when a field is missing, which no live document's is.
fn product(document: &Document) -> Option<ProductView> {
    let text = |name| match document.get(name) {
        Value::Text(text) | Value::Json(text) => Some(text.clone()),
        _ => None,
    };
    let time = |name| match document.get(name) {
        Value::Time(at) => Some(*at),
        _ => None,
    };
    let Value::Int(amount) = document.get("price_amount") else { return None };
    let [_, Value::Uuid(id)] = document.key() else { return None };
    Some(ProductView {
        id: *id,
        sku: text("sku")?,
        name: text("name")?,
        description: text("description")?,
        category: text("category")?,
        attributes: serde_json::from_str(&text("attributes")?).ok()?,
        price: domain::money::Money::new(*amount, text("currency")?.parse().ok()?),
        discontinued: document.get("discontinued") != &Value::Bool(false),
        version: document.version,
        created_at: time("created_at")?,
        updated_at: time("updated_at")?,
    })
}
