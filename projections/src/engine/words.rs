//! Words: what a text is compared by.
//!
//! Where a script puts spaces between its words, a word is a run of letters and digits. Where it doesn't (Chinese, Japanese, Thai
//! and their neighbours; Korean writes compounds together), no list of words would know every product's name, so a run counts as
//! its pairs of neighbouring letters, and what is looked for is found wherever it stands within a run: `急須` in `常滑焼急須`.
//!
//! Index and query agree on this form, so a search backend needs nothing but to split at spaces:
//! - a run `ABC` is indexed as `AB BC C`. The last letter alone keeps the pairs of two runs apart: what is looked for is a phrase
//!   of pairs, and can't begin in one run and end in another;
//! - every letter also stands alone once, at the end of the text, for those who look for one letter only;
//! - a letter is a character with the marks on it, so one with another vowel sign is another letter.

use std::collections::BTreeSet;

use unicode_normalization::char::is_combining_mark;
use unicode_script::{Script, UnicodeScript};

use crate::engine::fold::fold;

/// A longer word counts as its beginning.
const MAX_LETTERS: usize = 64;
/// Marks on one letter; more are none that a reader sees apart.
const MAX_MARKS: usize = 8;

/// A part of a text, folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A word with spaces or punctuation around it, or with another script.
    Word(String),
    /// A run of letters of a script that has no spaces within.
    Run(Vec<String>),
}

/// The parts of a text, in order.
#[must_use]
pub fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut open: Option<Part> = None;
    let mut marks = 0;
    for c in fold(text).chars() {
        if is_combining_mark(c) {
            marks += 1;
            match &mut open {
                Some(Part::Word(word)) if marks <= MAX_MARKS => word.push(c),
                Some(Part::Run(letters)) if marks <= MAX_MARKS => {
                    letters.iter_mut().rev().take(1).for_each(|letter| letter.push(c));
                }
                // It stands on nothing, or on too many others.
                _ => {}
            }
            continue;
        }
        marks = 0;
        if !c.is_alphanumeric() {
            parts.extend(open.take());
            continue;
        }
        match (&mut open, is_unspaced(c)) {
            (Some(Part::Run(letters)), true) => letters.push(c.to_string()),
            (Some(Part::Word(word)), false) => word.push(c),
            (_, unspaced) => {
                let letter = c.to_string();
                let begun = if unspaced { Part::Run(vec![letter]) } else { Part::Word(letter) };
                parts.extend(open.replace(begun));
            }
        }
    }
    parts.extend(open);
    parts.iter_mut().for_each(|part| {
        if let Part::Word(word) = part
            && let Some((end, _)) = word.char_indices().nth(MAX_LETTERS)
        {
            word.truncate(end);
        }
    });
    parts
}

/// The form that is indexed: words and pairs, one space between.
#[must_use]
pub fn indexed<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut terms = Vec::new();
    let mut letters = BTreeSet::new();
    for part in texts.into_iter().flat_map(parts) {
        match part {
            Part::Word(word) => terms.push(word),
            Part::Run(run) => {
                terms.extend(pairs(&run));
                terms.extend(run.last().cloned());
                letters.extend(run);
            }
        }
    }
    terms.extend(letters);
    terms.join(" ")
}

/// The pairs of neighbouring letters: the phrase by which a run of two letters and more is found.
pub fn pairs(run: &[String]) -> impl Iterator<Item = String> {
    run.windows(2).map(|pair| pair.concat())
}

/// How many typing errors a search tolerates in a word: in an alphabet as many as Elasticsearch's fuzziness `AUTO:3,8`. Arabic and
/// Hebrew words have no vowels and are short, so one error makes another word of most of them. In numbers, none: 2024 is no misspelt
/// 2025. In every other script, none: a vowel sign is a character, and another one makes another word.
#[must_use]
pub fn tolerance(word: &str) -> u8 {
    let length = word.chars().count();
    let of = |script| match (script, length) {
        (_, ..=2 | MAX_FUZZY..) => 0,
        (Script::Latin | Script::Greek | Script::Cyrillic | Script::Armenian | Script::Georgian, ..=7) => 1,
        (Script::Latin | Script::Greek | Script::Cyrillic | Script::Armenian | Script::Georgian, _) => 2,
        (Script::Arabic | Script::Hebrew, 5..) => 1,
        _ => 0,
    };
    word.chars().map(|c| of(c.script())).min().unwrap_or(0)
}

/// A word of so many letters gets no tolerance: its automaton would be large.
const MAX_FUZZY: usize = 41;

/// Whether the letter's script has no spaces between words.
fn is_unspaced(c: char) -> bool {
    // `ー` and its like belong to several scripts, digits to all.
    let scripts = c.script_extension();
    let every = scripts.is_common() || scripts.is_inherited();
    !every && UNSPACED.iter().any(|script| scripts.contains_script(*script))
}

const UNSPACED: [Script; 16] = [
    Script::Han,
    Script::Hiragana,
    Script::Katakana,
    Script::Bopomofo,
    Script::Hangul,
    Script::Yi,
    Script::Thai,
    Script::Lao,
    Script::Khmer,
    Script::Myanmar,
    Script::Tai_Le,
    Script::New_Tai_Lue,
    Script::Tai_Tham,
    Script::Tai_Viet,
    Script::Tangut,
    Script::Nushu,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let show = |part| match part {
            Part::Word(word) => word,
            Part::Run(letters) => letters.join("."),
        };
        parts(text).into_iter().map(show).collect()
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        // proves: CAT-2
        assert_eq!(shown("USB-C Kabel, 2 m!"), ["usb", "c", "kabel", "2", "m"]);
        // A virama is no letter, and doesn't end a word.
        assert_eq!(shown("स्टील की बोतल"), ["स्टील", "की", "बोतल"]);
        assert_eq!(shown("می\u{200c}خواهم"), ["مي", "خواهم"]);
        assert_eq!(shown("tele\u{ad}fon"), ["telefon"]);
        assert_eq!(shown(&"a".repeat(100)), ["a".repeat(64)]);
        assert!(shown(" ?!… \u{301}").is_empty());
    }

    #[test]
    fn scripts_without_spaces_fall_apart_into_letters() {
        // proves: CAT-2
        assert_eq!(shown("不锈钢保温杯500ml"), ["不.锈.钢.保.温.杯", "500ml"]);
        assert_eq!(shown("ＵＳＢコーヒー"), ["usb", "コ.ー.ヒ.ー"]);
        assert_eq!(shown("텀블러 2개"), ["텀.블.러", "2", "개"]);
        assert_eq!(shown("แก้วกาแฟ"), ["แ.ก้.ว.ก.า.แ.ฟ"]);
    }

    #[test]
    fn runs_are_indexed_as_pairs_and_letters() {
        // proves: CAT-2
        assert_eq!(indexed(["急須 tea 茶"]), "急須 須 tea 茶 急 茶 須");
        assert_eq!(indexed(["Crème brûlée"]), "creme brulee");
        assert_eq!(indexed(["ab", "cd"]), "ab cd");
        assert_eq!(indexed([]), "");
    }

    #[test]
    fn errors_are_tolerated_where_one_makes_no_other_word() {
        // proves: CAT-2
        for (word, tolerated) in [
            ("ab", 0),
            ("abc", 1),
            ("abcdefg", 1),
            ("abcdefgh", 2),
            ("mx500", 0),
            ("чашка", 1),
            ("قهوة", 0),
            ("فنجان", 1),
            ("दाल", 0),
            ("बोतलें", 0),
            ("காபி", 0),
        ] {
            assert_eq!(tolerance(word), tolerated, "{word}");
        }
        assert_eq!(tolerance(&"a".repeat(40)), 2);
        assert_eq!(tolerance(&"a".repeat(41)), 0);
    }
}
