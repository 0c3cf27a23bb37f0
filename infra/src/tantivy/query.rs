//! From a search's words and filters to a query.

use std::ops::Bound;

use ::tantivy::Term;
use ::tantivy::query::{
    BooleanQuery, BoostQuery, EmptyQuery, FuzzyTermQuery, Occur, PhraseQuery, Query, RangeQuery, TermQuery,
};
use ::tantivy::schema::IndexRecordOption;
use projections::catalogue::products::{ProductFilter, ProductSort};
use projections::engine::query::Page;
use projections::engine::read_models::ReadError;

use super::document::FIELDS;
use crate::product_query::{FUZZY_SCORE, ProductQuery, Word};

/// A search, ready to run.
pub(super) struct Plan {
    pub(super) query: Box<dyn Query>,
    pub(super) wanted: ProductQuery,
    pub(super) limit: usize,
}

pub(super) fn plan(
    tenant: &str,
    text: &str,
    filter: &ProductFilter,
    sort: ProductSort,
    page: &Page,
) -> Result<Plan, ReadError> {
    let wanted = ProductQuery::new(text, sort, page)?;
    let query = match &wanted.words {
        Some(words) => build(tenant, words, filter),
        None => Box::new(EmptyQuery),
    };
    Ok(Plan { query, wanted, limit: page.limit })
}

fn build(tenant: &str, words: &[Word], filter: &ProductFilter) -> Box<dyn Query> {
    let fields = &*FIELDS;
    let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
    // What only narrows down must not score.
    let mut must = |query: Box<dyn Query>, scored: bool| {
        clauses.push((Occur::Must, if scored { query } else { Box::new(BoostQuery::new(query, 0.0)) }));
    };
    must(exact(Term::from_field_text(fields.tenant, tenant), IndexRecordOption::Basic), false);
    if let Some(category) = &filter.category {
        must(exact(Term::from_field_text(fields.category_key, category), IndexRecordOption::Basic), false);
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
    for word in words {
        must(word_query(word), true);
    }
    Box::new(BooleanQuery::new(clauses))
}

fn exact(term: Term, option: IndexRecordOption) -> Box<dyn Query> {
    Box::new(TermQuery::new(term, option))
}

fn word_query(word: &Word) -> Box<dyn Query> {
    let mut somewhere: Vec<(Occur, Box<dyn Query>)> = Vec::new();
    for (field, _, weight) in FIELDS.words {
        let terms: Vec<Term> = word.terms.iter().map(|text| Term::from_field_text(field, text)).collect();
        let query: Box<dyn Query> = match terms.as_slice() {
            [term] => exact(term.clone(), IndexRecordOption::WithFreqs),
            _ => Box::new(PhraseQuery::new(terms.clone())),
        };
        somewhere.push((Occur::Should, Box::new(BoostQuery::new(query, weight))));
        if let ([term], 1..) = (terms.as_slice(), word.tolerated) {
            let query = Box::new(FuzzyTermQuery::new(term.clone(), word.tolerated, true));
            somewhere.push((Occur::Should, Box::new(BoostQuery::new(query, weight * FUZZY_SCORE))));
        }
    }
    Box::new(BooleanQuery::new(somewhere))
}
