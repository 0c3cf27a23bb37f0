//! What Unicode says of characters, in the few questions that the rest asks.

use std::sync::LazyLock;

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, WhiteSpace};
use icu_properties::{CodePointMapData, CodePointSetData};

/// The category of a character, in the Unicode version of today.
pub(crate) fn category(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

/// The value of a decimal digit of any script.
#[must_use]
pub fn decimal(c: char) -> Option<u8> {
    // Unicode keeps every script's digits together in their order (its stability policy), so the first of each ten tells all.
    static TENS: LazyLock<Vec<u32>> = LazyLock::new(|| {
        CodePointMapData::<GeneralCategory>::new()
            .iter_ranges_for_value(GeneralCategory::DecimalNumber)
            .flat_map(|range| range.step_by(10))
            .collect()
    });
    if c.is_ascii() {
        return c.to_digit(10).map(|digit| digit as u8);
    }
    if category(c) != GeneralCategory::DecimalNumber {
        return None;
    }
    let code = u32::from(c);
    let below = TENS.partition_point(|first| *first <= code);
    let first = TENS.get(below.checked_sub(1)?)?;
    u8::try_from(code - first).ok().filter(|digit| *digit < 10)
}

/// Whether a character shows nothing at all where a font follows Unicode: joiners, direction marks, soft hyphens, fillers,
/// selectors (`Default_Ignorable_Code_Point`), and other format characters.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    !c.is_ascii()
        && (CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
            || category(c) == GeneralCategory::Format)
}

/// Whether a character takes room and shows nothing.
#[must_use]
pub fn is_space(c: char) -> bool {
    // The empty Braille cell is a symbol to Unicode.
    CodePointSetData::new::<WhiteSpace>().contains(c) || c == '\u{2800}'
}

/// Whether a text shows anything to a reader.
#[must_use]
pub fn shows_something(text: &str) -> bool {
    text.chars().any(|c| !is_space(c) && !is_invisible(c) && !c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_every_script_have_their_value() {
        for (text, value) in [
            ("0", 0),
            ("9", 9),
            ("٣", 3),
            ("۴", 4),
            ("७", 7),
            ("๕", 5),
            ("６", 6),
            ("𝟘", 0),
            ("𝟿", 9),
            ("𞥑", 1),
        ] {
            assert_eq!(text.chars().next().and_then(decimal), Some(value), "{text}");
        }
        for c in ['a', '四', '²', 'Ⅳ', '½', ' '] {
            assert_eq!(decimal(c), None, "{c}");
        }
    }

    #[test]
    fn what_shows_nothing_is_told_from_what_does() {
        for text in ["", " ", "\u{200b}\u{2060}", "\u{3164}", "\u{ad}\u{202e}", "\u{2800}\u{a0}", "\u{e0061}"]
        {
            assert!(!shows_something(text), "{text:?}");
        }
        for text in ["a", ".", "\u{200b}x", "☕", "ق", "コ"] {
            assert!(shows_something(text), "{text:?}");
        }
    }
}
