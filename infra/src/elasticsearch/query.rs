//! From a question to a search request.

use domain::event::wire_time;
use projections::engine::query::{Condition, Direction};
use projections::engine::read_models::ReadError;
use projections::engine::rows::{ColumnKind, Value};
use projections::engine::search::Search;
use serde_json::{Map, Value as Json, json};

use super::views::KEPT;
use crate::gate;
use crate::search_document::plain;
use crate::text_query::{FUZZY_SCORE, TextQuery, Word, no_filter, score_of};

/// The most values of a facet that are counted.
const MAX_VALUES: usize = 10_000;
/// How instants are written, to the microsecond.
const INSTANT: &str = "strict_date_optional_time_nanos";

/// The body of a search request.
pub(super) fn body(wanted: &TextQuery) -> Result<Json, ReadError> {
    let search = &wanted.search;
    let query = match &wanted.words {
        Some(words) => {
            let must: Vec<Json> = words.iter().map(|word| one_of(search, word)).collect();
            json!({"bool": {"filter": filters(search)?, "must": must}})
        }
        None => json!({"match_none": {}}),
    };
    let facets = search
        .facets
        .iter()
        .map(|facet| ((*facet).to_owned(), json!({"terms": {"field": facet, "size": MAX_VALUES}})));
    let mut body = json!({
        // One more than the page has, to see whether there is another page.
        "size": search.page.limit + 1,
        "query": query,
        "sort": sort(search),
        "track_total_hits": true,
        "timeout": format!("{}s", gate::TIME.as_secs()),
        "aggs": facets.collect::<Map<_, _>>(),
    });
    if let Some(after) = &wanted.after {
        body["search_after"] = search_after(search, after).ok_or(ReadError::BadCursor)?;
    }
    Ok(body)
}

/// The request as one of a view.
pub(super) fn of_view(body: &Json, view: &str) -> Json {
    let mut body = body.clone();
    body["pit"] = json!({"id": view, "keep_alive": KEPT});
    body
}

fn filters(search: &Search) -> Result<Vec<Json>, ReadError> {
    let mut filters = vec![json!({"term": {"tenant": search.tenant}})];
    // Tombstones are no hits.
    filters.extend(search.index.gone.map(|gone| json!({"term": {gone: false}})));
    for condition in &search.conditions {
        match condition {
            Condition::Is(column, value) => {
                filters.push(json!({"term": {*column: compared(search, column, value)?}}));
            }
            Condition::In(column, values) => {
                let values = values.iter().map(|value| compared(search, column, value));
                filters.push(json!({"terms": {*column: values.collect::<Result<Vec<_>, _>>()?}}));
            }
            Condition::AtLeast(column, value) => {
                filters.push(json!({"range": {*column: {"gte": compared(search, column, value)?}}}));
            }
            Condition::AtMost(column, value) => {
                filters.push(json!({"range": {*column: {"lte": compared(search, column, value)?}}}));
            }
            // A document has begun.
            Condition::Begun(_) => {}
        }
    }
    Ok(filters)
}

/// A value that a filter compares.
fn compared(search: &Search, column: &str, value: &Value) -> Result<Json, ReadError> {
    match value {
        Value::Null => Err(no_filter(search, column)),
        _ if !search.index.filters.contains(&column) => Err(no_filter(search, column)),
        value => Ok(scalar(value)),
    }
}

fn scalar(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Int(n) => (*n).into(),
        Value::Bool(b) => (*b).into(),
        other => plain(other).into(),
    }
}

fn one_of(search: &Search, word: &Word) -> Json {
    let mut somewhere = Vec::new();
    for (field, weight) in search.index.words() {
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

fn sort(search: &Search) -> Vec<Json> {
    let score = search.best_first.then(|| json!({"_score": "desc"}));
    let columns = search.order.iter().map(|(column, direction)| {
        let order = match direction {
            Direction::Ascending => "asc",
            Direction::Descending => "desc",
        };
        match search.index.table.column(column) {
            Some((_, ColumnKind::Time)) => json!({*column: {"order": order, "format": INSTANT}}),
            _ => json!({*column: order}),
        }
    });
    score.into_iter().chain(columns).collect()
}

/// The sort values of the last row of the page before; `None` when the cursor holds none that a row can have.
fn search_after(search: &Search, after: &[Value]) -> Option<Json> {
    let mut values = after.iter();
    let score = match search.best_first {
        true => match values.next()? {
            Value::Int(score) => Some(json!(score_of(*score)?)),
            _ => return None,
        },
        false => None,
    };
    let columns = values.map(|value| match value {
        Value::Time(at) if at.timestamp() >= 0 => Some(wire_time(*at).into()),
        Value::Time(_) => None,
        other => Some(scalar(other)),
    });
    score.into_iter().map(Some).chain(columns).collect()
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use domain::money::Currency;
    use projections::catalogue::products::{ProductFilter, ProductSort};
    use projections::engine::query::Page;
    use uuid::Uuid;

    use super::*;
    use crate::text_query::score_key;

    /// With a filter, and the place that the page goes on behind.
    fn body_of(text: &str, sort: ProductSort, filter: &ProductFilter, first: &[Value]) -> Json {
        let created = Timestamp::from_timestamp_micros(1_700_000_000_000_123).unwrap();
        let place = [first, &[Value::Time(created), Value::Uuid(Uuid::from_u128(7))]].concat();
        let mut page = Page { after: None, limit: 20 };
        page.after = Some(filter.search("default", text, sort, &page).cursor("view", &place));
        body(&TextQuery::new(&filter.search("default", text, sort, &page)).unwrap()).unwrap()
    }

    fn the_rest() -> Json {
        json!({
            "size": 21,
            "track_total_hits": true,
            "timeout": "10s",
            "aggs": {"category": {"terms": {"field": "category", "size": 10_000}}},
        })
    }

    fn with(mut body: Json, parts: Json) -> Json {
        body.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
        body
    }

    fn created_and_id() -> [Json; 2] {
        [
            json!({"created_at": {"order": "asc", "format": "strict_date_optional_time_nanos"}}),
            json!({"product_id": "asc"}),
        ]
    }

    const CREATED: &str = "2023-11-14T22:13:20.000123Z";
    const ID: &str = "00000000-0000-0000-0000-000000000007";

    // proves: CAT-2
    #[test]
    fn words_are_looked_for_in_every_column_of_words() {
        let found = body_of(
            "hp wireless",
            ProductSort::Relevance,
            &ProductFilter::default(),
            &[Value::Int(score_key(1.5))],
        );
        let exact =
            |word: &str, field: &str, weight: f32| json!({"term": {field: {"value": word, "boost": weight}}});
        let fuzzy = |word: &str, field: &str, weight: f32| {
            let fuzzy =
                json!({"value": word, "fuzziness": 2, "transpositions": true, "rewrite": "constant_score"});
            json!({"constant_score": {"filter": {"fuzzy": {field: fuzzy}}, "boost": weight * 0.1}})
        };
        let fields = [
            ("name_words", 4.0_f32),
            ("sku_words", 3.0),
            ("category_words", 2.0),
            ("attribute_words", 1.5),
            ("description_words", 1.0),
        ];
        let hp: Vec<Json> = fields.iter().map(|(field, weight)| exact("hp", field, *weight)).collect();
        let wireless = fields.iter().flat_map(|(field, weight)| {
            [exact("wireless", field, *weight), fuzzy("wireless", field, *weight)]
        });
        let one_of = |should: Vec<Json>| json!({"bool": {"should": should, "minimum_should_match": 1}});
        let [created, id] = created_and_id();
        let expected = json!({
            "query": {"bool": {
                "filter": [{"term": {"tenant": "default"}}, {"term": {"discontinued": false}}],
                "must": [one_of(hp), one_of(wireless.collect())],
            }},
            "sort": [{"_score": "desc"}, created, id],
            "search_after": [1.5, CREATED, ID],
        });
        assert_eq!(found, with(the_rest(), expected));
    }

    // proves: CAT-1, CAT-2
    #[test]
    fn filters_narrow_down_and_prices_are_sorted_within_their_currency() {
        let filter = ProductFilter {
            category: Some("tea & coffee".into()),
            min_price: Some(100),
            max_price: Some(900),
            currency: Some(Currency::Eur),
        };
        let place = [Value::Text("EUR".into()), Value::Int(250)];
        let found = body_of("常滑焼", ProductSort::PriceDesc, &filter, &place);
        let phrases = ["name_words", "sku_words", "category_words", "attribute_words", "description_words"]
            .into_iter()
            .zip([4.0_f32, 3.0, 2.0, 1.5, 1.0])
            .map(|(field, weight)| json!({"match_phrase": {field: {"query": "常滑 滑焼", "boost": weight}}}));
        let [created, id] = created_and_id();
        let expected = json!({
            "query": {"bool": {
                "filter": [
                    {"term": {"tenant": "default"}},
                    {"term": {"discontinued": false}},
                    {"term": {"category_key": "tea & coffee"}},
                    {"term": {"currency": "EUR"}},
                    {"range": {"price_amount": {"gte": 100}}},
                    {"range": {"price_amount": {"lte": 900}}},
                ],
                "must": [{"bool": {"should": phrases.collect::<Vec<_>>(), "minimum_should_match": 1}}],
            }},
            "sort": [{"currency": "asc"}, {"price_amount": "desc"}, created, id],
            "search_after": ["EUR", 250, CREATED, ID],
        });
        assert_eq!(found, with(the_rest(), expected));
        let one_sided = ProductFilter { max_price: Some(900), ..ProductFilter::default() };
        let found = body_of("", ProductSort::PriceAsc, &one_sided, &place);
        let range = json!({"range": {"price_amount": {"lte": 900}}});
        assert_eq!(found["query"]["bool"]["filter"][2], range);
        assert_eq!(found["query"]["bool"]["must"], json!([]));
    }

    #[test]
    fn only_punctuation_matches_nothing() {
        let found =
            body_of("?!", ProductSort::Name, &ProductFilter::default(), &[Value::Text("lamp".into())]);
        let [created, id] = created_and_id();
        let expected = json!({
            "query": {"match_none": {}},
            "sort": [{"sort_name": "asc"}, created, id],
            "search_after": ["lamp", CREATED, ID],
        });
        assert_eq!(found, with(the_rest(), expected));
    }
}
