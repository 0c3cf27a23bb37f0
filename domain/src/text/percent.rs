//! Percent-encoded text, read strictly: the crate takes a `%` without two digits behind it for itself.

use percent_encoding::percent_decode_str;

/// The text behind the encoding; `None` for a broken escape, and for what is not UTF-8.
#[must_use]
pub fn decoded(text: &str) -> Option<String> {
    let is_escape = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: SEC-10
    #[test]
    fn whole_escapes_of_utf8_are_decoded_and_nothing_else() {
        for (text, meant) in
            [("", Some("")), ("a+b", Some("a+b")), ("%c3%A9%25", Some("é%")), ("é%20é", Some("é é"))]
        {
            assert_eq!(decoded(text).as_deref(), meant, "{text}");
        }
        for text in ["%", "%4", "a%4", "%zz", "%+1", "%%20", "%é", "%FF", "%C3"] {
            assert_eq!(decoded(text), None, "{text}");
        }
    }
}
