//! What every search backend makes of a question to an index, so that all of them find the same in the same order.
//!
//! Every word must match somewhere. A word matches a field's word exactly, scored by BM25 and the field's weight, or with typing
//! errors, which scores little (see [`tolerance`]; a swap of neighbours counts as one). In a script without spaces, a run of letters
//! matches wherever it stands within a longer one, as a phrase of pairs of letters (see [`projections::engine::words`]).

use projections::engine::query::Direction;
use projections::engine::read_models::ReadError;
use projections::engine::rows::Value;
use projections::engine::search::Search;
use projections::engine::words::{Part, pairs, parts, tolerance};

/// More words than these are ignored: nobody types them, and each one costs.
const MAX_WORDS: usize = 32;
/// So many words are looked for with typing errors, the others exactly: an automaton goes through all terms of the index.
const MAX_FUZZY_WORDS: usize = 8;
/// Pairs of letters that are looked for in a whole search; what comes after them is ignored.
const MAX_PAIRS: usize = 64;
/// What a match with typing errors scores, times the field's weight.
pub(crate) const FUZZY_SCORE: f32 = 0.1;

/// A word of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// Terms of the index that must stand side by side; most often one.
    pub(crate) terms: Vec<String>,
    /// How many typing errors are tolerated, if it is one term.
    pub(crate) tolerated: u8,
}

/// A search, understood.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TextQuery {
    /// As it was asked.
    pub(crate) search: Search,
    /// All must match; `None` when the text is only punctuation, which nothing matches.
    pub(crate) words: Option<Vec<Word>>,
    /// The place of the last row of the page before.
    pub(crate) after: Option<Vec<Value>>,
    /// The view of the index that the page before was of.
    pub(crate) view: Option<String>,
}

impl TextQuery {
    /// Understands a search.
    pub(crate) fn new(search: &Search) -> Result<Self, ReadError> {
        let (view, after) = search.after()?.map(|after| (after.view, after.place)).unzip();
        let found = words(&search.text);
        let words = (search.text.trim().is_empty() || !found.is_empty()).then_some(found);
        Ok(Self { search: search.clone(), words, after, view })
    }

    /// What a page is to be made of whose view isn't kept any more: the index as it is now, if the order is one of values that stand
    /// in the rows. Scores depend on all rows: among those of another view, the last row has no place.
    pub(crate) fn without_view(mut self) -> Result<Self, ReadError> {
        self.view = None;
        if self.search.best_first { Err(ReadError::Expired) } else { Ok(self) }
    }

    /// How the values of a place are ordered.
    pub(crate) fn directions(&self) -> Vec<Direction> {
        // See `score_key`.
        let score = self.search.best_first.then_some(Direction::Ascending);
        score.into_iter().chain(self.search.order.iter().map(|(_, direction)| *direction)).collect()
    }
}

/// A condition that an index can't meet: no filter of it.
pub(crate) fn no_filter(search: &Search, column: &str) -> ReadError {
    ReadError::Unavailable(format!("the index {} has no filter {column} of such values", search.index.name))
}

/// The counts of a facet, most first, then by value.
pub(crate) fn by_count(mut counts: Vec<(String, u64)>) -> Vec<(String, u64)> {
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts
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
    use projections::catalogue::products::{ProductFilter, ProductSort};
    use projections::engine::query::Page;

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
        let words = |text: &str| {
            let search =
                ProductFilter::default().search("default", text, ProductSort::Relevance, &Page::default());
            TextQuery::new(&search).unwrap().words
        };
        assert_eq!(words("?!"), None);
        assert_eq!(words("  "), Some(vec![]));
    }
}
