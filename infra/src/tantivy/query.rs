//! From a search's words and conditions to a query.

use std::ops::Bound;

use ::tantivy::Term;
use ::tantivy::query::{
    BooleanQuery, BoostQuery, EmptyQuery, FuzzyTermQuery, Occur, PhraseQuery, Query, RangeQuery, TermQuery,
    TermSetQuery,
};
use ::tantivy::schema::IndexRecordOption;
use projections::engine::query::Condition;
use projections::engine::read_models::ReadError;
use projections::engine::rows::Value;
use projections::engine::search::Search;

use super::fields::Fields;
use crate::text_query::{FUZZY_SCORE, TextQuery, Word, no_filter};

/// A search, ready to run.
pub(super) struct SearchPlan {
    pub(super) query: Box<dyn Query>,
    pub(super) wanted: TextQuery,
}

pub(super) fn plan(fields: &Fields, search: &Search) -> Result<SearchPlan, ReadError> {
    let wanted = TextQuery::new(search)?;
    let query = match &wanted.words {
        Some(words) => build(fields, search, words)?,
        None => Box::new(EmptyQuery),
    };
    Ok(SearchPlan { query, wanted })
}

fn build(fields: &Fields, search: &Search, words: &[Word]) -> Result<Box<dyn Query>, ReadError> {
    let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
    // What only narrows down must not score.
    let mut must = |query: Box<dyn Query>, scored: bool| {
        clauses.push((Occur::Must, if scored { query } else { Box::new(BoostQuery::new(query, 0.0)) }));
    };
    let term =
        |column: &str, value: &Value| fields.term(column, value).ok_or_else(|| no_filter(search, column));
    let tenant = term("tenant", &Value::Text(search.tenant.clone()))?;
    must(exact(tenant, IndexRecordOption::Basic), false);
    for condition in &search.conditions {
        let query: Box<dyn Query> = match condition {
            Condition::Is(column, value) => exact(term(column, value)?, IndexRecordOption::Basic),
            Condition::In(_, values) if values.is_empty() => Box::new(EmptyQuery),
            Condition::In(column, values) => {
                let terms = values.iter().map(|value| term(column, value));
                Box::new(TermSetQuery::new(terms.collect::<Result<Vec<_>, _>>()?))
            }
            Condition::AtLeast(column, value) => {
                Box::new(RangeQuery::new(Bound::Included(term(column, value)?), Bound::Unbounded))
            }
            Condition::AtMost(column, value) => {
                Box::new(RangeQuery::new(Bound::Unbounded, Bound::Included(term(column, value)?)))
            }
            // A document has begun.
            Condition::Begun(_) => continue,
        };
        must(query, false);
    }
    for word in words {
        must(word_query(fields, word), true);
    }
    Ok(Box::new(BooleanQuery::new(clauses)))
}

fn exact(term: Term, option: IndexRecordOption) -> Box<dyn Query> {
    Box::new(TermQuery::new(term, option))
}

fn word_query(fields: &Fields, word: &Word) -> Box<dyn Query> {
    let mut somewhere: Vec<(Occur, Box<dyn Query>)> = Vec::new();
    for (field, _, weight) in &fields.words {
        let terms: Vec<Term> = word.terms.iter().map(|text| Term::from_field_text(*field, text)).collect();
        let query: Box<dyn Query> = match terms.as_slice() {
            [term] => exact(term.clone(), IndexRecordOption::WithFreqs),
            _ => Box::new(PhraseQuery::new(terms.clone())),
        };
        somewhere.push((Occur::Should, Box::new(BoostQuery::new(query, *weight))));
        if let ([term], 1..) = (terms.as_slice(), word.tolerated) {
            let query = Box::new(FuzzyTermQuery::new(term.clone(), word.tolerated, true));
            somewhere.push((Occur::Should, Box::new(BoostQuery::new(query, weight * FUZZY_SCORE))));
        }
    }
    Box::new(BooleanQuery::new(somewhere))
}
