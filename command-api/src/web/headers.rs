//! The API's own headers: `Idempotency-Key`, `ETag`, `Sync-Token`. Conditions on tags are in [`super::preconditions`].

use std::fmt;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use domain::position::SyncToken;
use domain::text::card;

use crate::web::problem::Problem;

/// The header that makes a command repeatable.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that the answer is a stored one.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The positions that a command's events have, and that a query must have seen.
pub const SYNC_TOKEN: HeaderName = HeaderName::from_static("sync-token");

/// The longest key, in characters.
const MAX_KEY: usize = 255;

/// A client's name for one attempt to do something, in its bare form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The request's key: `"k"` as in a structured field and a bare `k` are the same one.
    ///
    /// # Errors
    /// 400 when it is malformed or given twice.
    pub fn read(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(bad_key("it is given twice"));
        }
        let text =
            value.to_str().map_err(|_| bad_key("it has characters other than printable ascii"))?.trim();
        let bare = if text.starts_with('"') { unquoted(text)? } else { text.to_owned() };
        if !(1..=MAX_KEY).contains(&bare.len()) {
            return Err(bad_key("it must have 1 to 255 characters"));
        }
        // What a structured field's string can hold (RFC 8941, 3.3.3).
        if !bare.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return Err(bad_key("it has characters other than printable ascii"));
        }
        if card::identifier_contains_number(&bare) {
            return Err(Problem::card_number(StatusCode::BAD_REQUEST));
        }
        Ok(Some(Self(bare)))
    }

    /// As [`Self::read`] where a key is required.
    ///
    /// # Errors
    /// 400 also when it is missing.
    pub fn required(headers: &HeaderMap) -> Result<Self, Problem> {
        Self::read(headers)?.ok_or_else(|| {
            let detail =
                "this operation needs an idempotency-key header, so that a repeat does nothing twice";
            Problem::new(StatusCode::BAD_REQUEST, "idempotency-key-required", detail)
        })
    }

    /// The bare form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn bad_key(why: &str) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "idempotency-key-malformed",
        format!("the idempotency-key is malformed: {why}"),
    )
}

/// The content of a structured-field string (RFC 8941, 4.2.5): `\"` and `\\` are its only escapes.
fn unquoted(text: &str) -> Result<String, Problem> {
    let mut bare = String::new();
    let mut chars = text.chars();
    chars.next();
    while let Some(c) = chars.next() {
        match c {
            '"' if chars.as_str().is_empty() => return Ok(bare),
            '"' => return Err(bad_key("something follows its closing quote")),
            '\\' => match chars.next() {
                Some(escaped @ ('"' | '\\')) => bare.push(escaped),
                _ => return Err(bad_key("it has an unknown escape")),
            },
            other => bare.push(other),
        }
    }
    Err(bad_key("its closing quote is missing"))
}

/// The `ETag` header's value: a tag, such as a stream's version, quoted.
#[must_use]
pub fn etag(tag: &impl fmt::Display) -> HeaderValue {
    header_of(&format!("\"{tag}\""))
}

/// The `Sync-Token` header's value.
#[must_use]
pub fn sync_token(token: &SyncToken) -> HeaderValue {
    header_of(token)
}

/// A header of visible ASCII.
pub(crate) fn header_of(value: &impl fmt::Display) -> HeaderValue {
    HeaderValue::try_from(value.to_string()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        headers
    }

    fn key(value: &str) -> Result<String, u16> {
        match IdempotencyKey::read(&headers(IDEMPOTENCY_KEY, value)) {
            Ok(key) => Ok(key.unwrap().0),
            Err(problem) => Err(problem.status),
        }
    }

    // proves: ORD-1
    #[test]
    fn quoted_and_bare_keys_are_the_same() {
        assert_eq!(key("abc"), Ok("abc".into()));
        assert_eq!(key("\"abc\""), Ok("abc".into()));
        assert_eq!(key(r#""a\"b\\c""#), Ok(r#"a"b\c"#.into()));
        assert_eq!(key(&"k".repeat(255)).unwrap().len(), 255);
        assert_eq!(key(&format!("\"{}\"", "k".repeat(255))).unwrap().len(), 255);
    }

    #[test]
    fn malformed_keys_are_refused() {
        let long = "k".repeat(256);
        for text in ["", "\"\"", "\"abc", "\"a\"b", "a\tb", "\"a\tb\"", r#""a\x""#, "\"a\";p=1", &long, "ü"]
        {
            assert_eq!(key(text), Err(400), "{text}");
        }
        let mut twice = headers(IDEMPOTENCY_KEY, "a");
        twice.append(IDEMPOTENCY_KEY, "a".parse().unwrap());
        assert_eq!(IdempotencyKey::read(&twice).unwrap_err().status, 400);
        let missing = IdempotencyKey::required(&HeaderMap::new()).unwrap_err();
        assert_eq!((missing.status, &*missing.title), (400, "idempotency key required"));
    }

    // proves: SEC-7
    #[test]
    fn a_key_is_no_card_number() {
        for text in ["4111111111111111", "\"4111 1111 1111 1111\"", "pay-4111-1111-1111-1111-1"] {
            assert_eq!(key(text), Err(400), "{text}");
        }
        for text in [
            "1764508800123456789",
            "41111111-1111-4111-8111-111111111111",
            "order-4711",
            "01JDZ8K4G0Q3V7N5T2",
        ] {
            assert!(key(text).is_ok(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(32_u8..=255, 0..80)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let mut map = HeaderMap::new();
                map.insert(IDEMPOTENCY_KEY, value);
                let _ = IdempotencyKey::read(&map);
            }
        }
    }
}
