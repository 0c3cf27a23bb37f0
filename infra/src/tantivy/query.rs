//! From a search's words and filters to a query.
//!
//! Every word must match somewhere. A word matches a field's word exactly, scored by BM25 and the field's weight, or with typing
//! errors, which scores little: up to 2 characters none, up to 7 one, above two; a swap of neighbours counts as one.

use std::ops::Bound;

use ::tantivy::Term;
use ::tantivy::query::{
    AllQuery, BooleanQuery, BoostQuery, EmptyQuery, FuzzyTermQuery, Occur, Query, RangeQuery, TermQuery,
};
use ::tantivy::schema::IndexRecordOption;
use projections::fold::words;
use projections::read_models::{Page, ProductFilter, ProductSort, ReadError};

use super::document::FIELDS;
use crate::keyset::{Keyset, SortValue};

/// More words than these are ignored: nobody types them, and each one costs.
const MAX_WORDS: usize = 32;
/// A longer word gets no tolerance: its automaton would be large.
const MAX_FUZZY: usize = 40;
/// What a match with typing errors scores, times the field's weight.
const FUZZY_SCORE: f32 = 0.1;

/// A search, ready to run.
pub(super) struct Plan {
    pub(super) query: Box<dyn Query>,
    pub(super) sort: ProductSort,
    pub(super) after: Option<Keyset>,
    pub(super) limit: usize,
}

pub(super) fn plan(
    tenant: &str,
    text: &str,
    filter: &ProductFilter,
    sort: ProductSort,
    page: &Page,
) -> Result<Plan, ReadError> {
    // Without words there is no best match.
    let sort =
        if sort == ProductSort::Relevance && text.trim().is_empty() { ProductSort::Created } else { sort };
    let after = Keyset::after(page.after.as_deref(), order_name(sort))?;
    let fits = |after: &Keyset| match sort {
        ProductSort::Created => after.value == SortValue::None,
        ProductSort::Name => matches!(after.value, SortValue::Text(_)),
        ProductSort::PriceAsc | ProductSort::PriceDesc | ProductSort::Relevance => {
            matches!(after.value, SortValue::Number(_))
        }
    };
    if after.as_ref().is_some_and(|after| !fits(after)) {
        return Err(ReadError::BadCursor);
    }
    let query = build(tenant, text, filter);
    Ok(Plan { query, sort, after, limit: page.limit })
}

/// What a cursor of this order is bound to.
pub(super) fn order_name(sort: ProductSort) -> &'static str {
    match sort {
        ProductSort::Created => "search-created",
        ProductSort::PriceAsc => "search-price",
        ProductSort::PriceDesc => "search-price-desc",
        ProductSort::Name => "search-name",
        ProductSort::Relevance => "search-relevance",
    }
}

fn build(tenant: &str, text: &str, filter: &ProductFilter) -> Box<dyn Query> {
    let fields = &*FIELDS;
    let words = words(text);
    if words.is_empty() && !text.trim().is_empty() {
        // Only punctuation: there is no word that anything could match.
        return Box::new(EmptyQuery);
    }
    let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
    // What only narrows down must not score.
    let mut must = |query: Box<dyn Query>, scored: bool| {
        clauses.push((Occur::Must, if scored { query } else { Box::new(BoostQuery::new(query, 0.0)) }));
    };
    must(exact(Term::from_field_text(fields.tenant, tenant), IndexRecordOption::Basic), false);
    if let Some(category) = &filter.category {
        must(exact(Term::from_field_text(fields.category, category), IndexRecordOption::Basic), false);
    }
    if let Some(currency) = filter.currency {
        must(exact(Term::from_field_text(fields.currency, currency.code()), IndexRecordOption::Basic), false);
    }
    if filter.min_price.is_some() || filter.max_price.is_some() {
        let bound = |price: Option<i64>| {
            price.map_or(Bound::Unbounded, |p| Bound::Included(Term::from_field_i64(fields.price, p)))
        };
        must(Box::new(RangeQuery::new(bound(filter.min_price), bound(filter.max_price))), false);
    }
    for word in words.iter().take(MAX_WORDS) {
        must(word_query(word), true);
    }
    if clauses.is_empty() { Box::new(AllQuery) } else { Box::new(BooleanQuery::new(clauses)) }
}

fn exact(term: Term, option: IndexRecordOption) -> Box<dyn Query> {
    Box::new(TermQuery::new(term, option))
}

fn word_query(word: &str) -> Box<dyn Query> {
    let distance = tolerated(word);
    let mut somewhere: Vec<(Occur, Box<dyn Query>)> = Vec::new();
    for (field, _, weight) in FIELDS.words {
        let term = Term::from_field_text(field, word);
        let query = exact(term.clone(), IndexRecordOption::WithFreqs);
        somewhere.push((Occur::Should, Box::new(BoostQuery::new(query, weight))));
        if distance > 0 {
            let query = Box::new(FuzzyTermQuery::new(term, distance, true));
            somewhere.push((Occur::Should, Box::new(BoostQuery::new(query, weight * FUZZY_SCORE))));
        }
    }
    Box::new(BooleanQuery::new(somewhere))
}

/// How many typing errors are tolerated in a word: as many as Elasticsearch's fuzziness `AUTO:3,8` tolerates, so that both
/// search backends agree. In numbers, none: 2024 is no misspelt 2025.
fn tolerated(word: &str) -> u8 {
    let length = word.chars().count();
    match length {
        _ if length > MAX_FUZZY || word.chars().any(|c| c.is_ascii_digit()) => 0,
        0..=2 => 0,
        3..=7 => 1,
        _ => 2,
    }
}
