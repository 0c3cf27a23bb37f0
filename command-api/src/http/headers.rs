//! The API's own headers: `Idempotency-Key`, `If-Match`, `ETag`, `Sync-Token`.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use domain::position::SyncToken;

use super::problem::Problem;

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

/// The version that an update is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: whichever it has.
    Any,
    /// This one.
    Version(u64),
    /// An entity tag that is none of ours, or a weak one, which never matches here.
    Never,
}

impl IfMatch {
    /// The request's `If-Match`.
    ///
    /// # Errors
    /// 428 when it is missing; 400 when it is malformed or names several versions.
    pub fn required(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(header::IF_MATCH).iter();
        let Some(value) = values.next() else {
            let detail = "an update needs an if-match header with the etag of what it updates";
            return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "precondition-required", detail));
        };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" && values.next().is_none() {
            return Ok(Self::Any);
        }
        let (weak, tag) = match text.strip_prefix("W/") {
            Some(tag) => (true, tag),
            None => (false, text),
        };
        let opaque = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        let Some(opaque) = opaque.filter(|o| !o.contains('"') && !o.contains(char::is_whitespace)) else {
            return Err(bad_match());
        };
        if values.next().is_some() {
            return Err(bad_match());
        }
        let canonical = opaque.bytes().all(|b| b.is_ascii_digit()) && !opaque.starts_with('0');
        Ok(match opaque.parse() {
            Ok(version) if canonical && !weak => Self::Version(version),
            _ => Self::Never,
        })
    }

    /// For [`domain::command::Step::expected_version`].
    #[must_use]
    pub fn expected_version(self) -> Option<u64> {
        match self {
            Self::Any => None,
            Self::Version(version) => Some(version),
            // No stream ever has this version, so the owner refuses it as stale, unless it repeats an accepted command.
            Self::Never => Some(u64::MAX),
        }
    }
}

fn bad_match() -> Problem {
    let detail = "if-match must be one quoted etag, like \"3\", or *";
    Problem::new(StatusCode::BAD_REQUEST, "if-match-malformed", detail)
}

/// The entity tag of a stream version: the version, quoted.
#[must_use]
pub fn etag(version: u64) -> HeaderValue {
    header_of(&format!("\"{version}\""))
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

    #[test]
    fn if_match_names_one_version() {
        let read = |text| IfMatch::required(&headers(header::IF_MATCH, text)).map_err(|p| p.status);
        assert_eq!(read("\"3\""), Ok(IfMatch::Version(3)));
        assert_eq!(read("*"), Ok(IfMatch::Any));
        for never in
            ["W/\"3\"", "\"abc\"", "\"03\"", "\"0\"", "\"+3\"", "\"\"", "\"99999999999999999999999\""]
        {
            assert_eq!(read(never), Ok(IfMatch::Never), "{never}");
        }
        for malformed in ["3", "\"3", "3\"", "\"3\", \"4\"", "", "W/3", "w/\"3\""] {
            assert_eq!(read(malformed), Err(400), "{malformed}");
        }
        assert_eq!(IfMatch::required(&HeaderMap::new()).unwrap_err().status, 428);
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(32_u8..=255, 0..80)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let mut map = HeaderMap::new();
                map.insert(IDEMPOTENCY_KEY, value.clone());
                map.insert(header::IF_MATCH, value);
                let _ = IdempotencyKey::read(&map);
                let _ = IfMatch::required(&map);
            }
        }
    }
}
