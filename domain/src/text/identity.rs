//! How people are named: user names, passwords and display names, by the PRECIS profiles of RFC 8265 and 8266. What was typed
//! is kept for display; compared and hashed is the form that these functions return.
//!
//! The profiles know the characters of Unicode 6.3. Letters and symbols that came later are judged by their category of today;
//! and an emoji may be followed by the selectors and joiners that phones put behind it, which PRECIS refuses everywhere.

use icu_properties::props::GeneralCategory;
use precis_profiles::precis_core::profile::Rules;
use precis_profiles::precis_core::{DerivedPropertyValue, FreeformClass, IdentifierClass, StringClass};
use precis_profiles::{OpaqueString, UsernameCaseMapped};

use super::characters::{category, is_invisible, shows_something};

/// The form in which two spellings of a user's name are the same (`UsernameCaseMapped`, RFC 8265, 3.3): half and full width as one,
/// in lower case, composed (NFC). `None` for what is no such name: with spaces, symbols, or anything invisible.
#[must_use]
pub fn username(name: &str) -> Option<String> {
    let profile = UsernameCaseMapped::new();
    let narrow = profile.width_mapping_rule(name).ok()?;
    IdentifierClass::default().allows(stand_in(&IdentifierClass::default(), &narrow)).ok()?;
    let lower = profile.case_mapping_rule(narrow).ok()?;
    let composed = profile.normalization_rule(lower).ok()?;
    // Composing may lead to a character that the class refuses where it stands.
    IdentifierClass::default().allows(stand_in(&IdentifierClass::default(), &composed)).ok()?;
    let name = profile.directionality_rule(composed).ok()?;
    (!name.is_empty()).then(|| name.into_owned())
}

/// The form in which a password is hashed (`OpaqueString`, RFC 8265, 4.2): every space as the usual one, composed (NFC).
/// `None` for one with control or invisible characters, which can't be typed alike everywhere.
#[must_use]
pub fn password(typed: &str) -> Option<String> {
    FreeformClass::default().allows(stand_in(&FreeformClass::default(), typed)).ok()?;
    let spaced = OpaqueString::new().additional_mapping_rule(typed).ok()?;
    let composed = OpaqueString::new().normalization_rule(spaced).ok()?;
    FreeformClass::default().allows(stand_in(&FreeformClass::default(), &composed)).ok()?;
    (!composed.is_empty()).then(|| composed.into_owned())
}

/// Whether a text can be shown as somebody's name (`Nickname`, RFC 8266): it shows something, and nothing in it is invisible or
/// changes the direction of what stands around it.
#[must_use]
pub fn is_display_name(name: &str) -> bool {
    shows_something(name)
        && FreeformClass::default().allows(stand_in(&FreeformClass::default(), name)).is_ok()
}

/// The text with a plain letter in place of each character that the profile is too old to know, or that belongs to an emoji.
fn stand_in(class: &impl StringClass, text: &str) -> String {
    let mut emoji = false;
    let judged = |c: char| {
        let joins = emoji && matches!(c, '\u{fe0e}' | '\u{fe0f}' | '\u{200d}');
        let is_symbol = matches!(
            category(c),
            GeneralCategory::OtherSymbol | GeneralCategory::ModifierSymbol | GeneralCategory::MathSymbol
        );
        emoji = joins || (is_symbol && !c.is_ascii());
        let fits = |c| match class.get_value_from_char('☕') {
            DerivedPropertyValue::PValid | DerivedPropertyValue::SpecClassPval => is_assigned(c),
            _ => is_letter(c),
        };
        let symbols = class.get_value_from_char('☕') == DerivedPropertyValue::SpecClassPval;
        let newer = class.get_value_from_char(c) == DerivedPropertyValue::Unassigned && fits(c);
        if newer || (joins && symbols) { 'a' } else { c }
    };
    text.chars().map(judged).collect()
}

fn is_letter(c: char) -> bool {
    use GeneralCategory::{
        DecimalNumber, LowercaseLetter, ModifierLetter, NonspacingMark, OtherLetter, SpacingMark,
        UppercaseLetter,
    };
    let letters = [
        LowercaseLetter,
        UppercaseLetter,
        OtherLetter,
        ModifierLetter,
        NonspacingMark,
        SpacingMark,
        DecimalNumber,
    ];
    letters.contains(&category(c)) && !is_invisible(c)
}

fn is_assigned(c: char) -> bool {
    use GeneralCategory::{Control, Format, PrivateUse, Surrogate, Unassigned};
    !([Control, Format, PrivateUse, Surrogate, Unassigned].contains(&category(c)) || is_invisible(c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // proves: USR-1
    #[test]
    fn spellings_of_one_user_name_are_equal() {
        for (one, other) in [
            ("jos\u{e9}", "jose\u{301}"),
            ("José", "josé"),
            ("ｊｏｓｅ", "jose"),
            ("A\u{30a}ngstrom", "\u{e5}ngstrom"),
            ("O'Neill+shop", "o'neill+shop"),
        ] {
            assert!(username(one).is_some());
            assert_eq!(username(one), username(other), "{one} {other}");
        }
        assert_ne!(username("jose"), username("josé"));
    }

    // proves: USR-1
    #[test]
    fn look_alikes_are_no_user_names() {
        for name in [
            "jo\u{200b}se",
            "jo\u{ad}se",
            "\u{202e}esoj",
            "jose\u{2066}",
            "jo\u{200d}se",
            "jose\u{fe0f}",
            "jo se",
            "\u{3164}",
            "☕",
            "ﬁsh",
            "",
        ] {
            assert_eq!(username(name), None, "{name:?}");
        }
        // Scripts that came after the profiles, and joiners where a script needs them.
        for name in ["𞤀𞤣𞤤𞤢𞤥", "ශ්\u{200d}රී", "רחל", "علي", "佐藤", "ĳ"] {
            assert_eq!(username(name).is_some(), name != "ĳ", "{name}");
        }
    }

    // proves: USR-1
    #[test]
    fn passwords_are_the_same_however_a_keyboard_composes_them() {
        assert_eq!(password("pa\u{308}ssword"), password("p\u{e4}ssword"));
        assert_eq!(password("correct\u{a0}horse"), password("correct horse"));
        assert_ne!(password("Password"), password("password"));
        assert_ne!(password("ｐassword"), password("password"));
        for typed in ["emoji ❤\u{fe0f} 👩\u{200d}👧 🥰 🫠", "tr\u{e9}s \"long\" £€", "пароль密码"]
        {
            assert!(password(typed).is_some(), "{typed}");
        }
        for typed in
            ["pass\u{200b}word", "pass\tword", "pass\u{7}word", "pass\u{202e}word", "", "pass\u{fe0f}word"]
        {
            assert_eq!(password(typed), None, "{typed:?}");
        }
    }

    // proves: USR-2
    #[test]
    fn names_show_something_and_hide_nothing() {
        for name in
            ["Ann Lee", "Łukasz", "علی\u{200c}رضا", "佐藤 健", "Zoë ❤\u{fe0f}", "O’Neill", "李", "N. 🫠"]
        {
            assert!(is_display_name(name), "{name}");
        }
        for name in [
            "\u{200b}",
            "\u{3164}\u{3164}",
            " \u{a0}",
            "\u{2800}",
            "Ann\u{202e}",
            "A\u{200b}nn",
            "A\u{ad}nn",
            "A\nB",
            "",
        ] {
            assert!(!is_display_name(name), "{name:?}");
        }
    }

    // proves: USR-1
    #[test]
    fn what_composes_to_a_refused_character_is_refused_like_it() {
        // The Greek ano teleia is the middle dot, which may stand between two `l` only.
        for dot in ["\u{387}", "\u{b7}", "a\u{387}b"] {
            assert_eq!((username(dot), password(dot)), (None, None), "{dot}");
        }
        assert_eq!(username("paral·lel").as_deref(), Some("paral·lel"));
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "\\PC{0,30}", word in "[a-zA-Zéß\u{300}-\u{308}ａ-ｚΣς]{0,12}") {
            for text in [text, word] {
                if let Some(once) = username(&text) {
                    prop_assert_eq!(username(&once), Some(once.clone()));
                }
                if let Some(once) = password(&text) {
                    prop_assert_eq!(password(&once), Some(once.clone()));
                }
            }
        }
    }
}
