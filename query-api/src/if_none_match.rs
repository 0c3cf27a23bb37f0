//! `If-None-Match`: a resource's tag is its stream's version, quoted.

use axum::http::{HeaderMap, StatusCode, header};
use command_api::http::problem::Problem;

/// What the client has already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IfNoneMatch {
    /// `*`: anything at all.
    Any,
    /// These tags, without quotes; weak ones among them compare the same (RFC 9110, 13.1.2).
    Tags(Vec<String>),
}

impl IfNoneMatch {
    /// Reads the header, which may occur more than once.
    ///
    /// # Errors
    /// 400 when it is neither `*` nor a list of quoted tags.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut tags: Option<Vec<String>> = None;
        let mut any = false;
        for value in headers.get_all(header::IF_NONE_MATCH) {
            let text = value.to_str().map_err(|_| malformed())?.trim();
            if text == "*" {
                any = true;
            } else {
                tags.get_or_insert_default().extend(list(text).ok_or_else(malformed)?);
            }
        }
        match (any, tags) {
            (true, None) => Ok(Some(Self::Any)),
            (true, Some(_)) => Err(malformed()),
            (false, tags) => Ok(tags.map(Self::Tags)),
        }
    }

    /// Whether the client has this version.
    pub(crate) fn matches(&self, version: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.contains(&version.to_string()),
        }
    }
}

fn malformed() -> Problem {
    let detail = "If-None-Match is neither * nor a list of quoted entity tags";
    Problem::new(StatusCode::BAD_REQUEST, "bad-if-none-match", detail)
}

/// A comma-separated list of entity tags; a comma may stand inside of quotes.
fn list(mut text: &str) -> Option<Vec<String>> {
    let mut tags = Vec::new();
    loop {
        text = text.trim_start();
        text = text.strip_prefix("W/").unwrap_or(text);
        let (tag, rest) = text.strip_prefix('"')?.split_once('"')?;
        tags.push(tag.to_owned());
        text = rest.trim_start();
        if text.is_empty() {
            return Some(tags);
        }
        text = text.strip_prefix(',')?;
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(values: &[&str]) -> Result<Option<IfNoneMatch>, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_NONE_MATCH, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        IfNoneMatch::read(&headers)
    }

    #[test]
    fn a_listed_version_matches() {
        let cases: [&[&str]; 6] = [
            &["\"7\""],
            &["W/\"7\""],
            &["\"1\", \"7\""],
            &["\"1\",W/\"7\""],
            &["*"],
            &["\"1\"", "\"a,b\", \"7\""],
        ];
        for values in cases {
            assert!(read(values).unwrap().unwrap().matches(7), "{values:?}");
        }
        assert!(!read(&["\"77\", \"07\""]).unwrap().unwrap().matches(7));
        assert_eq!(read(&[]), Ok(None));
    }

    #[test]
    fn anything_else_is_malformed() {
        for value in ["7", "\"7", "\"7\",", "\"7\" \"8\"", "w/\"7\"", "", ",", "*, \"7\""] {
            assert_eq!(read(&[value]).map_err(|p| p.status), Err(400), "{value}");
        }
        assert!(read(&["*", "\"7\""]).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~]{0,40}") {
            let _ = read(&[&text]);
        }
    }
}
