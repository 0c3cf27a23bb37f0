//! What every search backend makes of a customer's question, so that all of them find the same in the same order.
//!
//! Every word must match somewhere. A word matches a field's word exactly, scored by BM25 and the field's weight, or with typing
//! errors, which scores little (see [`tolerance`]; a swap of neighbours counts as one). In a script without spaces, a run of letters
//! matches wherever it stands within a longer one, as a phrase of pairs of letters (see [`projections::engine::words`]).

use projections::catalogue::products::ProductSort;
use projections::engine::query::Page;
use projections::engine::read_models::ReadError;
use projections::engine::words::{Part, pairs, parts, tolerance};

use crate::keyset::{Keyset, SortValue};

/// More words than these are ignored: nobody types them, and each one costs.
const MAX_WORDS: usize = 32;
/// So many words are looked for with typing errors, the others exactly: an automaton goes through all terms of the index.
const MAX_FUZZY_WORDS: usize = 8;
/// Pairs of letters that are looked for in a whole search; what comes after them is ignored.
const MAX_PAIRS: usize = 64;
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
    /// Terms of the index that must stand side by side; most often one.
    pub(crate) terms: Vec<String>,
    /// How many typing errors are tolerated, if it is one term.
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
    /// The view of the index that the page before was of.
    pub(crate) view: Option<String>,
}

impl ProductQuery {
    /// Understands a search.
    pub(crate) fn new(text: &str, sort: ProductSort, page: &Page) -> Result<Self, ReadError> {
        let empty = text.trim().is_empty();
        let sort = if sort == ProductSort::Relevance && empty { ProductSort::Created } else { sort };
        let (view, after) = match page.after.as_deref().map(serde_json::from_str::<(String, String)>) {
            Some(Ok((view, after))) => (Some(view), Some(Keyset::parse(&after, order_name(sort))?)),
            Some(Err(_)) => return Err(ReadError::BadCursor),
            None => (None, None),
        };
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
        let words = words(text);
        Ok(Self { words: (empty || !words.is_empty()).then_some(words), sort, after, view })
    }

    /// The cursor of a page of a view that ends with a row.
    pub(crate) fn cursor(&self, view: &str, end: &Keyset) -> String {
        serde_json::json!([view, end.to_text(order_name(self.sort))]).to_string()
    }

    /// What a page is to be made of whose view isn't kept any more: the index as it is now, if the order is one of values that stand
    /// in the rows. Scores depend on all rows: among those of another view, the last row has no place.
    pub(crate) fn without_view(mut self) -> Result<Self, ReadError> {
        self.view = None;
        if self.sort == ProductSort::Relevance { Err(ReadError::Expired) } else { Ok(self) }
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

/// The words of a search, each once, within the bounds of what one search may cost.
fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let (mut fuzzy, mut left) = (MAX_FUZZY_WORDS, MAX_PAIRS);
    for part in parts(text) {
        let word = match part {
            Part::Word(text) => {
                let tolerated = if fuzzy > 0 { tolerance(&text) } else { 0 };
                Word { terms: vec![text], tolerated }
            }
            Part::Run(letters) if letters.len() == 1 => Word { terms: letters, tolerated: 0 },
            Part::Run(letters) => Word { terms: pairs(&letters).take(left).collect(), tolerated: 0 },
        };
        let is_new = !words.iter().any(|before| before.terms == word.terms);
        if word.terms.is_empty() || !is_new {
            continue;
        }
        left -= word.terms.len().min(left);
        fuzzy -= usize::from(word.tolerated > 0);
        words.push(word);
        if words.len() == MAX_WORDS {
            break;
        }
    }
    words
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

    // proves: SEC-10
    #[test]
    fn what_a_search_may_cost_is_bounded() {
        let letters = |n: u32| (0..6).filter_map(move |i| char::from_digit(10 + (n >> i) % 26, 36));
        let many: String = (0..200).map(|n| letters(n).chain([' ']).collect::<String>()).collect();
        let found = words(&many);
        assert_eq!(found.len(), MAX_WORDS);
        assert_eq!(found.iter().filter(|word| word.tolerated > 0).count(), MAX_FUZZY_WORDS);
        assert_eq!(words("wort wort WORT").len(), 1);
        let long: String = (0..500_u32).filter_map(|n| char::from_u32(0x4e00 + n)).collect();
        let terms: usize = words(&format!("{long} {long}x{long}")).iter().map(|word| word.terms.len()).sum();
        assert!(terms <= MAX_PAIRS + 1, "{terms}");
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
