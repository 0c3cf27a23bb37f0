//! Ids as clients write them: whichever spelling of a UUID comes in, one goes on.

use uuid::Uuid;

/// The UUID that a text names, in any of its spellings: upper or lower case, with or without hyphens, in braces, or as a URN
/// (RFC 9562, 4). Only the lower-case hyphenated form is ever written.
#[must_use]
pub fn any_spelling(text: &str) -> Option<Uuid> {
    const URN: &str = "urn:uuid:";
    match text.get(..URN.len()) {
        // What follows a URN's prefix is the hyphenated form, never another prefix.
        Some(prefix) if prefix.eq_ignore_ascii_case(URN) => {
            let rest = &text[URN.len()..];
            (rest.len() == 36).then(|| Uuid::try_parse(rest).ok()).flatten()
        }
        _ => Uuid::try_parse(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // proves: SEC-10, ORD-1
        #[test]
        fn every_spelling_names_the_same_id(bytes in any::<[u8; 16]>(), upper in any::<bool>()) {
            let id = Uuid::from_bytes(bytes);
            for text in [id.to_string(), id.simple().to_string(), id.braced().to_string(), id.urn().to_string()] {
                let text = if upper { text.to_uppercase() } else { text };
                prop_assert_eq!(any_spelling(&text), Some(id), "{}", text);
                for broken in [format!("{text} "), format!(" {text}"), format!("{text}0"), text[1..].to_owned()] {
                    // A braced id without its brace, or one with a digit less, is none.
                    prop_assert_eq!(any_spelling(&broken), None, "{}", broken);
                }
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}") {
            let _ = (any_spelling(&text), any_spelling(&format!("urn:uuid:{text}")));
        }
    }
}
