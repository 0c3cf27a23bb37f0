//! From a customer's question to a search request.

use domain::Timestamp;
use domain::event::wire_time;
use projections::catalogue::products::{ProductFilter, ProductSort};
use projections::engine::query::Page;
use projections::engine::read_models::ReadError;
use serde_json::{Value, json};

use super::views::KEPT;
use crate::gate;
use crate::keyset::{Keyset, SortValue};
use crate::price_order;
use crate::product_query::{FUZZY_SCORE, ProductQuery, WEIGHTS, Word, score_of};

/// The most categories that are counted.
const MAX_CATEGORIES: usize = 10_000;
/// How instants are written, to the microsecond.
const INSTANT: &str = "strict_date_optional_time_nanos";

/// The body of a search request.
pub(super) fn body(
    tenant: &str,
    wanted: &ProductQuery,
    filter: &ProductFilter,
    page: &Page,
) -> Result<Value, ReadError> {
    let mut filters = vec![
        json!({"term": {"tenant": tenant}}),
        // Discontinued products are tombstones.
        json!({"term": {"discontinued": false}}),
    ];
    if let Some(category) = &filter.category {
        filters.push(json!({"term": {"category_key": category}}));
    }
    if let Some(currency) = filter.currency {
        filters.push(json!({"term": {"currency": currency.code()}}));
    }
    if filter.min_price.is_some() || filter.max_price.is_some() {
        let mut range = json!({});
        if let Some(min) = filter.min_price {
            range["gte"] = min.into();
        }
        if let Some(max) = filter.max_price {
            range["lte"] = max.into();
        }
        filters.push(json!({"range": {"price_amount": range}}));
    }
    let query = match &wanted.words {
        Some(words) => {
            json!({"bool": {"filter": filters, "must": words.iter().map(word).collect::<Vec<_>>()}})
        }
        None => json!({"match_none": {}}),
    };
    let mut body = json!({
        // One more than the page has, to see whether there is another page.
        "size": page.limit + 1,
        "query": query,
        "sort": sort(wanted.sort),
        "track_total_hits": true,
        "timeout": format!("{}s", gate::TIME.as_secs()),
        "aggs": {"categories": {"terms": {"field": "category", "size": MAX_CATEGORIES}}},
    });
    if let Some(after) = &wanted.after {
        body["search_after"] = search_after(after, wanted.sort).ok_or(ReadError::BadCursor)?;
    }
    Ok(body)
}

/// The request as one of a view.
pub(super) fn of_view(body: &Value, view: &str) -> Value {
    let mut body = body.clone();
    body["pit"] = json!({"id": view, "keep_alive": KEPT});
    body
}

fn word(word: &Word) -> Value {
    let mut somewhere = Vec::new();
    for (field, weight) in WEIGHTS {
        let [term] = word.terms.as_slice() else {
            // Terms have no spaces in them, so they fall apart again into what they are.
            somewhere
                .push(json!({"match_phrase": {field: {"query": word.terms.join(" "), "boost": weight}}}));
            continue;
        };
        somewhere.push(json!({"term": {field: {"value": term, "boost": weight}}}));
        if word.tolerated > 0 {
            // Rewritten to a constant score, it matches all terms within reach, not only the 50 nearest.
            let fuzzy = json!({"fuzzy": {field: {
                "value": term,
                "fuzziness": word.tolerated,
                "transpositions": true,
                "rewrite": "constant_score",
            }}});
            somewhere.push(json!({"constant_score": {"filter": fuzzy, "boost": weight * FUZZY_SCORE}}));
        }
    }
    json!({"bool": {"should": somewhere, "minimum_should_match": 1}})
}

fn sort(sort: ProductSort) -> Value {
    let created = json!({"created_at": {"order": "asc", "format": INSTANT}});
    let id = json!({"product_id": "asc"});
    match sort {
        ProductSort::Created => json!([created, id]),
        ProductSort::PriceAsc => json!([{"currency": "asc"}, {"price_amount": "asc"}, created, id]),
        ProductSort::PriceDesc => json!([{"currency": "asc"}, {"price_amount": "desc"}, created, id]),
        ProductSort::Name => json!([{"sort_name": "asc"}, created, id]),
        ProductSort::Relevance => json!([{"_score": "desc"}, created, id]),
    }
}

/// The sort values of the last row of the page before; `None` when the cursor holds none that a row can have.
fn search_after(after: &Keyset, sort: ProductSort) -> Option<Value> {
    let created =
        wire_time(Timestamp::from_timestamp_micros(after.created).filter(|at| at.timestamp() >= 0)?);
    let id = after.id.to_string();
    Some(match (&after.value, sort) {
        (SortValue::Text(name), ProductSort::Name) => json!([name, created, id]),
        (SortValue::Number(place), ProductSort::PriceAsc) => {
            let price = price_order::price_at(*place)?;
            json!([price.currency.code(), price.amount, created, id])
        }
        (SortValue::Number(place), ProductSort::PriceDesc) => {
            let price = price_order::price_at(price_order::turned(*place))?;
            json!([price.currency.code(), price.amount, created, id])
        }
        (SortValue::Number(n), ProductSort::Relevance) => json!([score_of(*n)?, created, id]),
        (SortValue::None, ProductSort::Created) => json!([created, id]),
        _ => return None,
    })
}
