//! Folding: text as search compares it, without what the readers of its script read over: case, and the marks that they leave
//! out when they type. Done here, once, so that every search backend finds the same: none of them needs an analyser of its own
//! for it.
//!
//! A mark is folded only where it is an ornament. An accent is one on a Latin or Greek letter, a vowel point is one in Arabic and
//! Hebrew, which are written without. In Devanagari, Thai and their like the vowel is a mark, and in kana a mark makes another
//! consonant: there it stays, or different words would be the same.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{decompose_canonical, is_combining_mark};
use unicode_script::{Script, UnicodeScript};

/// The zeros of the decimal digits that are not ASCII's; nine more follow each.
const ZEROS: [u32; 23] = [
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6,
    0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80,
];

/// The text in lower case, in one spelling of every letter (half width, ligatures, decomposed letters), without the marks that its
/// readers read over, and with the letters that have no accent to take off spelt out (`ß` → `ss`).
#[must_use]
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    // What the marks that come next stand on.
    let mut base = Script::Common;
    for c in text.nfkc().flat_map(char::to_lowercase) {
        if is_combining_mark(c) {
            if keeps_marks(base) && !is_variation_selector(c) {
                folded.push(c);
            }
            continue;
        }
        if is_ignored(c) || c == '\u{200c}' {
            // The joiners only change how letters look, but in Arabic the one keeps two parts of a word apart like a space.
            if c == '\u{200c}' && base == Script::Arabic {
                folded.push(' ');
            }
            continue;
        }
        base = c.script();
        match base {
            Script::Latin | Script::Greek => decompose_canonical(c, |part| bare(part, &mut folded)),
            Script::Cyrillic => folded.push(cyrillic(c)),
            Script::Arabic => folded.extend(arabic(c)),
            _ => folded.push(digit(c)),
        }
    }
    // A mark that was kept may have come to stand behind another one than before.
    if unicode_normalization::is_nfc(&folded) { folded } else { folded.nfc().collect() }
}

/// Whether a mark on a letter of the script makes another letter of it.
fn keeps_marks(script: Script) -> bool {
    !matches!(
        script,
        Script::Latin
            | Script::Greek
            | Script::Cyrillic
            | Script::Arabic
            | Script::Hebrew
            | Script::Common
            | Script::Inherited
    )
}

/// Characters that nobody sees, and that no word ends at.
fn is_ignored(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200d}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            // Arabic's and Hebrew's letters are drawn out with it; it is none.
            | '\u{640}'
    )
}

fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' | '\u{180b}'..='\u{180d}')
}

/// A part of a Latin or Greek letter, if it is no accent.
fn bare(c: char, folded: &mut String) {
    match c {
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
        c if is_combining_mark(c) => {}
        c => folded.push(c),
    }
}

/// `ё` is typed as `е`, and grave accents only show the stress; `й`, `ї`, `ў` and the others are letters of their own.
fn cyrillic(c: char) -> char {
    match c {
        'ё' | 'ѐ' => 'е',
        'ѝ' => 'и',
        c => c,
    }
}

/// Alef is typed without its hamza or madda. Keyboards of different countries have different code points for one kaf and one yeh.
fn arabic(c: char) -> Option<char> {
    Some(match c {
        'أ' | 'إ' | 'آ' | 'ٱ' => 'ا',
        'ک' => 'ك',
        'ی' => 'ي',
        c => digit(c),
    })
}

/// A decimal digit of any script as ASCII's.
fn digit(c: char) -> char {
    let code = u32::from(c);
    let zero = ZEROS.iter().find(|zero| (**zero..**zero + 10).contains(&code));
    zero.and_then(|zero| char::from_digit(code - zero, 10)).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accents_and_case_are_folded() {
        // proves: CAT-2
        for (text, folded) in [
            ("Crème Brûlée", "creme brulee"),
            ("Cre\u{300}me", "creme"),
            ("Straße", "strasse"),
            ("ÆØÅ", "aeoa"),
            ("Łódź", "lodz"),
            ("Tiếng Việt", "tieng viet"),
            ("İstanbul", "istanbul"),
            ("ﬁne №7", "fine no7"),
            ("ΟΔΟΣ", "οδοσ"),
            ("Καφές", "καφεσ"),
            ("προϊόν", "προιον"),
            ("Ёлка", "елка"),
            ("за\u{301}мок", "замок"),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
    }

    #[test]
    fn marks_go_only_where_readers_read_over_them() {
        // proves: CAT-2
        for (text, folded) in [
            // Vowel points and the stroke that draws a word out.
            ("قَهْوَة", "قهوة"),
            ("قـــهوة", "قهوة"),
            ("أحمد إبريق آلة", "احمد ابريق الة"),
            ("کتاب یک", "كتاب يك"),
            ("שָׁלוֹם", "שלום"),
            // Other widths and spellings of the same.
            ("ｺｰﾋｰ", "コーヒー"),
            ("カ\u{3099}ラス", "ガラス"),
            ("ﾊﾟﾝ", "パン"),
            ("ＵＳＢ３", "usb3"),
            ("한", "한"),
            ("٣ ४ ๕", "3 4 5"),
            // A zero width joiner and a soft hyphen.
            ("क\u{94d}\u{200d}ष", "क\u{94d}ष"),
            ("tele\u{ad}fon", "telefon"),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
        for (one, other) in [
            ("дом й", "дом и"),
            ("їжа", "іжа"),
            ("दिल", "दाल"),
            ("कमल", "कमला"),
            ("กา", "ก่า"),
            ("เสือ", "เสื้อ"),
            ("がく", "かく"),
            ("パン", "バン"),
            ("ハン", "パン"),
            ("கல்", "கால்"),
            ("బాటిల్", "బటిల్"),
            ("ক\u{9be}প", "কপ"),
        ] {
            assert_ne!(fold(one), fold(other), "{one} is not {other}");
        }
    }

    #[test]
    fn folding_twice_changes_nothing() {
        for text in ["Ǆungla", "ÀÉÎ", "ſ", "K", "ẞ", "Ⅷ", "ｶﾞ", "क़", "שׁ", "Й", "ῼ", "ه\u{654}", "か゛"]
        {
            assert_eq!(fold(&fold(text)), fold(text), "{text}");
        }
    }
}
