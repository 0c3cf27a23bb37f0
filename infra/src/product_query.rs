//! What every search backend makes of a customer's question, so that all of them find the same in the same order.
//!
//! Every word must match somewhere. A word matches a field's word exactly, scored by BM25 and the field's weight, or with typing
//! errors, which scores little: up to 2 characters none, up to 7 one, above two; a swap of neighbours counts as one.

use projections::fold::words;
use projections::read_models::{Page, ProductSort, ReadError};

use crate::keyset::{Keyset, SortValue};

/// More words than these are ignored: nobody types them, and each one costs.
const MAX_WORDS: usize = 32;
/// A longer word gets no tolerance: its automaton would be large.
const MAX_FUZZY: usize = 40;
/// What a match with typing errors scores, times the field's weight.
pub(crate) const FUZZY_SCORE: f32 = 0.1;

/// The columns of folded words, with what a match in them weighs.
pub(crate) const WEIGHTS: [(&str, f32); 5] = [
    ("name_words", 4.0),
    ("sku_words", 3.0),
    ("category_words", 2.0),
    ("attribute_words", 1.5),
    ("description_words", 1.0),
];

/// A word of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// Folded.
    pub(crate) text: String,
    /// How many typing errors are tolerated.
    pub(crate) tolerated: u8,
}

/// A search, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProductQuery {
    /// All must match; `None` when the text is only punctuation, which nothing matches.
    pub(crate) words: Option<Vec<Word>>,
    /// The order, which is never by relevance without words.
    pub(crate) sort: ProductSort,
    /// The last row of the page before.
    pub(crate) after: Option<Keyset>,
}

impl ProductQuery {
    /// Understands a search.
    pub(crate) fn new(text: &str, sort: ProductSort, page: &Page) -> Result<Self, ReadError> {
        let empty = text.trim().is_empty();
        let sort = if sort == ProductSort::Relevance && empty { ProductSort::Created } else { sort };
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
        let words: Vec<Word> = words(text).into_iter().take(MAX_WORDS).map(word).collect();
        Ok(Self { words: (empty || !words.is_empty()).then_some(words), sort, after })
    }

    /// The cursor of a page that ends with a row.
    pub(crate) fn cursor(&self, end: &Keyset) -> String {
        end.to_text(order_name(self.sort))
    }
}

/// What a cursor of this order is bound to.
fn order_name(sort: ProductSort) -> &'static str {
    match sort {
        ProductSort::Created => "search-created",
        ProductSort::PriceAsc => "search-currency-price",
        ProductSort::PriceDesc => "search-currency-price-desc",
        ProductSort::Name => "search-name",
        ProductSort::Relevance => "search-relevance",
    }
}

/// As many typing errors as Elasticsearch's fuzziness `AUTO:3,8` tolerates. In numbers, none: 2024 is no misspelt 2025.
fn word(text: String) -> Word {
    let length = text.chars().count();
    let tolerated = match length {
        _ if length > MAX_FUZZY || text.chars().any(|c| c.is_ascii_digit()) => 0,
        0..=2 => 0,
        3..=7 => 1,
        _ => 2,
    };
    Word { text, tolerated }
}

/// A relevance score as a number that sorts best first. Scores are not negative, so their bits are in their order.
pub(crate) fn score_key(score: f32) -> i64 {
    -i64::from(score.max(0.0).to_bits())
}

/// The score again; `None` for a number that is none's.
pub(crate) fn score_of(key: i64) -> Option<f32> {
    let bits = u32::try_from(key.checked_neg()?).ok()?;
    Some(f32::from_bits(bits)).filter(|score| score.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerance_grows_with_the_word_and_numbers_have_none() {
        for (text, tolerated) in [("ab", 0), ("abc", 1), ("abcdefg", 1), ("abcdefgh", 2), ("mx500", 0)] {
            assert_eq!(word(text.to_owned()).tolerated, tolerated, "{text}");
        }
    }

    #[test]
    fn scores_sort_best_first_and_come_back() {
        assert!(score_key(2.5) < score_key(2.25) && score_key(2.25) < score_key(0.0));
        assert_eq!(score_of(score_key(1.23)), Some(1.23));
        assert_eq!(score_of(1), None);
        assert_eq!(score_of(i64::MIN), None);
        assert_eq!(score_of(score_key(f32::INFINITY)), None);
    }

    #[test]
    fn only_punctuation_matches_nothing_and_no_text_everything() {
        let page = Page { after: None, limit: 1 };
        let words = |text| ProductQuery::new(text, ProductSort::Relevance, &page).unwrap().words;
        assert_eq!(words("?!"), None);
        assert_eq!(words("  "), Some(vec![]));
    }
}
