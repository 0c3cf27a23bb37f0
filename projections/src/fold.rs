//! Folding: text as search compares it, without case and accents. Done here, once, so that every search backend finds the
//! same: none of them needs an analyser of its own for it.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The text in lower case, without accents, and with the letters that have no accent to take off spelt out (`ß` → `ss`).
#[must_use]
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for letter in text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase) {
        match letter {
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'þ' => folded.push_str("th"),
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' | 'ð' => folded.push('d'),
            'ħ' => folded.push('h'),
            'ı' => folded.push('i'),
            'ς' => folded.push('σ'),
            // Lower-casing `İ` leaves a mark of its own.
            c if is_combining_mark(c) => {}
            c => folded.push(c),
        }
    }
    folded
}

/// The words of a text, folded: runs of letters and digits.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    fold(text).split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accents_and_case_are_folded() {
        // proves: CAT-2
        for (text, folded) in [
            ("Crème Brûlée", "creme brulee"),
            ("Straße", "strasse"),
            ("ÆØÅ", "aeoa"),
            ("Łódź", "lodz"),
            ("İstanbul", "istanbul"),
            ("ﬁne №7", "fine no7"),
            ("ΟΔΟΣ", "οδοσ"),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
    }

    #[test]
    fn folding_twice_changes_nothing() {
        for text in ["Ǆungla", "ÀÉÎ", "ſ", "K", "ẞ", "Ⅷ"] {
            assert_eq!(fold(&fold(text)), fold(text), "{text}");
        }
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        assert_eq!(words("USB-C Kabel, 2 m!"), ["usb", "c", "kabel", "2", "m"]);
        assert!(words(" ?!… ").is_empty());
    }
}
