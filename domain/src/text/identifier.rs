//! Identifiers that people type: warehouses, SKUs, categories, names of attributes. Two spellings are one identifier when their
//! [`normal`] forms are the same, and everything that compares identifiers compares those.
//!
//! The normal form is that of Unicode's case-insensitive identifiers (UAX #31, R4 and R5; `NFKC_Casefold`), written out so that
//! it can be told in a sentence: compatibility forms as their plain ones (NFKC: full width, ligatures, composed accents), in
//! lower case letter by letter (`ß` is `ss`, `ς` is `σ`), every dash is `-`, what is invisible is dropped, and runs of spaces
//! are one space, none outside. Accents count: `café` is not `cafe`.

use icu_properties::props::GeneralCategory;
use unicode_normalization::UnicodeNormalization;

use super::characters::{category, is_invisible, is_space};

/// Why a text is no identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnIdentifier {
    /// It shows nothing.
    #[error("must show something")]
    Blank,
    /// It holds control characters, or characters that Unicode gives no meaning.
    #[error("has characters that identifiers can't have")]
    Character,
}

/// The form in which two spellings of one identifier are the same. Normalising it again changes nothing.
///
/// # Errors
/// [`NotAnIdentifier`].
pub fn normal(text: &str) -> Result<String, NotAnIdentifier> {
    if text.is_ascii() {
        return finish(text.chars().map(|c| c.to_ascii_lowercase()));
    }
    let mut form = fold(text);
    // Folding what was decomposed can leave something to fold: twice does for all of Unicode, and the bound is only for safety.
    for _ in 0..4 {
        let again = fold(&form);
        if again == form {
            break;
        }
        form = again;
    }
    finish(form.chars())
}

/// The identifier as it is shown: as typed, composed, without outer spaces, with one space between, and without what is invisible
/// except what scripts and emoji need to be drawn.
///
/// # Errors
/// [`NotAnIdentifier`], when and only when it has no normal form.
pub fn shown(text: &str) -> Result<String, NotAnIdentifier> {
    normal(text)?;
    let drawn =
        |c: &char| matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe0e}' | '\u{fe0f}') || !is_invisible(*c);
    finish(text.nfc().filter(drawn))
}

/// Whether two texts are spellings of one identifier. What has no normal form, as an older program may have stored it, is the
/// same as itself only.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    one == other || normal(one).is_ok_and(|form| normal(other) == Ok(form))
}

fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.nfkc().filter(|c| !is_invisible(*c)).flat_map(char::to_lowercase) {
        match c {
            'ß' => folded.push_str("ss"),
            'ς' => folded.push('σ'),
            '\u{2212}' => folded.push('-'),
            c if category(c) == GeneralCategory::DashPunctuation => folded.push('-'),
            c => folded.push(c),
        }
    }
    folded.nfkc().collect()
}

/// Puts single spaces in the place of runs of them.
fn finish(chars: impl Iterator<Item = char>) -> Result<String, NotAnIdentifier> {
    let mut out = String::new();
    let mut space = false;
    for c in chars {
        if is_space(c) {
            space = !out.is_empty();
            continue;
        }
        let meaningless = matches!(
            category(c),
            GeneralCategory::Control
                | GeneralCategory::Unassigned
                | GeneralCategory::PrivateUse
                | GeneralCategory::Surrogate
        );
        if meaningless {
            return Err(NotAnIdentifier::Character);
        }
        if space {
            out.push(' ');
            space = false;
        }
        out.push(c);
    }
    if out.is_empty() { Err(NotAnIdentifier::Blank) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // proves: INV-1
    #[test]
    fn spellings_of_one_identifier_are_the_same() {
        for (text, form) in [
            ("main ", "main"),
            ("Main", "main"),
            ("ma\u{200b}in", "main"),
            ("\u{feff}MAIN\u{2060}", "main"),
            ("ｍａｉｎ", "main"),
            ("  North\u{a0}\u{a0}West ", "north west"),
            ("MUG–1", "mug-1"),
            ("MUG\u{2011}1", "mug-1"),
            ("caf\u{e9}", "caf\u{e9}"),
            ("CAFE\u{301}", "caf\u{e9}"),
            ("Straße", "strasse"),
            ("STRASSE", "strasse"),
            ("ΟΔΟΣ", "οδοσ"),
            ("οδος", "οδοσ"),
            ("ﬁne", "fine"),
            ("Ⅳ", "iv"),
            ("急須", "急須"),
            ("\u{202e}main\u{202c}", "main"),
        ] {
            assert_eq!(normal(text).as_deref(), Ok(form), "{text:?}");
            assert!(same(text, form));
        }
        assert_ne!(normal("café"), normal("cafe"));
        for (text, why) in [
            ("", NotAnIdentifier::Blank),
            (" \u{3000}", NotAnIdentifier::Blank),
            ("\u{200b}", NotAnIdentifier::Blank),
            ("\u{3164}", NotAnIdentifier::Blank),
            ("a\u{0}", NotAnIdentifier::Character),
            ("a\u{7f}", NotAnIdentifier::Character),
            ("a\u{e000}", NotAnIdentifier::Character),
            ("a\u{378}", NotAnIdentifier::Character),
            ("a\u{ffff}", NotAnIdentifier::Character),
        ] {
            assert_eq!(normal(text), Err(why), "{text:?}");
            assert_eq!(shown(text), Err(why), "{text:?}");
            assert!(same(text, text) && !same(text, "a"));
        }
    }

    #[test]
    fn what_is_shown_is_what_was_typed_made_tidy() {
        for (text, form) in [
            ("  MUG-1 ", "MUG-1"),
            ("Tea \u{200b} &  Coffee", "Tea & Coffee"),
            ("Cafe\u{301}", "Caf\u{e9}"),
            ("❤\u{fe0f}", "❤\u{fe0f}"),
            ("ＭＵＧ", "ＭＵＧ"),
            ("M\u{202e}UG", "MUG"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(form), "{text:?}");
        }
    }

    proptest! {
        // proves: INV-1
        #[test]
        fn normal_forms_are_stable_and_what_is_shown_is_the_same_identifier(text in any::<String>(), word in "[\\PC ]{0,12}") {
            for text in [text, word] {
                let Ok(once) = normal(&text) else { continue };
                prop_assert_eq!(normal(&once), Ok(once.clone()));
                let shown = shown(&text).unwrap();
                prop_assert_eq!(normal(&shown), Ok(once.clone()), "{:?}", shown);
                prop_assert!(same(&text, &once));
            }
        }

        // proves: INV-1
        #[test]
        fn case_width_spaces_and_invisibles_make_no_difference(word in "[a-z0-9][a-z0-9 -]{0,10}[a-z0-9]", at in 0_usize..12, invisible in "[\u{200b}\u{200c}\u{2060}\u{ad}\u{feff}\u{202e}]") {
            let expected = normal(&word);
            let wide: String = word.chars().map(|c| match c { '!'..='~' => char::from_u32(u32::from(c) + 0xfee0).unwrap(), c => c }).collect();
            let mut with = word.clone();
            with.insert_str(at.min(word.len()), &invisible);
            for spelling in [word.to_uppercase(), format!("  {word}\u{a0}"), wide, with] {
                prop_assert_eq!(normal(&spelling), expected.clone(), "{:?}", spelling);
            }
        }
    }
}
