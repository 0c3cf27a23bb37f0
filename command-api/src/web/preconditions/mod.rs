//! Conditions on entity tags (RFC 9110, 13.1): `If-Match` and `If-None-Match` are `*` or a list of tags, in one header line or
//! several, and empty elements of the list count for nothing (5.6.1.2).

use axum::http::{HeaderMap, HeaderName, StatusCode, header};

use crate::web::problem::Problem;

/// The most tags of a request: nobody has more versions of one thing.
const MAX_TAGS: usize = 100;

/// An entity tag that a client names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag {
    weak: bool,
    /// What stands between the quotes; visible ASCII or bytes above it.
    opaque: Vec<u8>,
}

/// What a condition names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntityTags {
    /// `*`: whatever the thing is now.
    Any,
    /// One of these; none of them names nothing.
    List(Vec<EntityTag>),
}

/// A condition that is neither `*` nor a list of quoted tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Malformed;

impl EntityTags {
    /// Reads a condition; `None` when the request hasn't got it.
    fn read(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, Malformed> {
        let mut tags: Option<Vec<EntityTag>> = None;
        let mut any = false;
        for value in headers.get_all(name) {
            if trimmed(value.as_bytes()) == b"*" {
                any = true;
            } else {
                list(value.as_bytes(), tags.get_or_insert_default())?;
            }
        }
        match (any, tags) {
            (true, None) => Ok(Some(Self::Any)),
            // `*` beside tags says nothing that could be checked; lines without a tag are no tags.
            (true, Some(tags)) if tags.is_empty() => Ok(Some(Self::Any)),
            (true, Some(_)) => Err(Malformed),
            (false, tags) => Ok(tags.map(Self::List)),
        }
    }

    fn names(&self, tag: &str, weakly: bool) -> bool {
        match self {
            Self::Any => true,
            Self::List(tags) => {
                tags.iter().any(|named| (weakly || !named.weak) && named.opaque == tag.as_bytes())
            }
        }
    }
}

/// Without the spaces and tabs around it.
fn trimmed(text: &[u8]) -> &[u8] {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !space(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !space(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// Reads the tags of one line; a comma may stand inside of quotes.
fn list(line: &[u8], tags: &mut Vec<EntityTag>) -> Result<(), Malformed> {
    let mut rest = trimmed(line);
    loop {
        // Whatever number of empty elements.
        while let Some(after) = rest.strip_prefix(b",") {
            rest = trimmed(after);
        }
        if rest.is_empty() {
            return Ok(());
        }
        let (weak, quoted) = rest.strip_prefix(b"W/").map_or((false, rest), |quoted| (true, quoted));
        let inside = quoted.strip_prefix(b"\"").ok_or(Malformed)?;
        let length = inside.iter().position(|byte| *byte == b'"').ok_or(Malformed)?;
        let opaque = &inside[..length];
        if tags.len() == MAX_TAGS || !opaque.iter().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)) {
            return Err(Malformed);
        }
        tags.push(EntityTag { weak, opaque: opaque.to_vec() });
        rest = trimmed(&inside[length + 1..]);
        if !rest.is_empty() && !rest.starts_with(b",") {
            return Err(Malformed);
        }
    }
}

/// `If-Match`: the command is meant for one of these versions only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfMatch(EntityTags);

impl IfMatch {
    /// The request's condition, if it has one.
    ///
    /// # Errors
    /// 400 when it is malformed.
    pub fn read(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let read = EntityTags::read(headers, &header::IF_MATCH).map_err(|Malformed| {
            let detail = "if-match must be * or a list of quoted etags, like \"3\", \"4\"";
            Problem::new(StatusCode::BAD_REQUEST, "if-match-malformed", detail)
        })?;
        Ok(read.map(Self))
    }

    /// The condition of an update, which must have one.
    ///
    /// # Errors
    /// 428 when it is missing, 400 when it is malformed.
    pub fn required(headers: &HeaderMap) -> Result<Self, Problem> {
        Self::read(headers)?.ok_or_else(|| {
            let detail = "an update needs an if-match header with the etag of what it updates";
            Problem::new(StatusCode::PRECONDITION_REQUIRED, "precondition-required", detail)
        })
    }

    /// Whether the condition holds for a thing with this tag. Weak tags never match here (RFC 9110, 13.1.1).
    #[must_use]
    pub fn allows(&self, tag: &str) -> bool {
        self.0.names(tag, false)
    }

    /// The same, of a thing whose body shows more than its own stream: its tag begins with the version, and the numbers of the rest come
    /// behind, with dots between them. A command changes none of that, so it goes by the version.
    #[must_use]
    pub fn by_version(self) -> Self {
        let EntityTags::List(tags) = self.0 else { return self };
        let own = |tag: EntityTag| {
            let text = std::str::from_utf8(&tag.opaque).ok();
            let numbers: Option<Vec<u64>> = text.and_then(|text| text.split('.').map(number).collect());
            match numbers.as_deref() {
                Some([version, ..]) => EntityTag { opaque: version.to_string().into_bytes(), ..tag },
                _ => tag,
            }
        };
        Self(EntityTags::List(tags.into_iter().map(own).collect()))
    }

    /// For [`domain::command::Step::expected_version`], of a thing whose tag is its version and which had this one a moment ago.
    #[must_use]
    pub fn version(&self, current: u64) -> Option<u64> {
        let EntityTags::List(tags) = &self.0 else { return None };
        let named: Vec<u64> =
            tags.iter().filter(|tag| !tag.weak).filter_map(|tag| version(&tag.opaque)).collect();
        match named.as_slice() {
            named if named.contains(&current) => Some(current),
            // The owner may know it by now. Which of several is meant can't be told, and need not be.
            [version] => Some(*version),
            // No stream ever has this version, so the owner refuses it as stale, unless it repeats an accepted command.
            _ => Some(u64::MAX),
        }
    }
}

/// What the tag of erased personal data ends in.
const ERASED: &str = "-erased";

/// The tag of what shows personal data in the clear: the stream's version, and whether the data were erased since, which is no event
/// of that stream.
#[must_use]
pub fn personal_tag<'a>(version: u64, opened: impl IntoIterator<Item = &'a str>) -> String {
    let erased = opened.into_iter().any(|text| text == domain::personal::ERASED);
    format!("{version}{}", if erased { ERASED } else { "" })
}

/// 412 for a thing whose tag is not among those that were named.
#[must_use]
pub fn stale(current: &str) -> Problem {
    let detail = format!("the resource has the tag \"{current}\", none of those stated");
    Problem::new(StatusCode::PRECONDITION_FAILED, "stale-version", detail)
}

/// The version that a tag tells; only as it is written.
fn version(opaque: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(opaque).ok()?;
    number(text.strip_suffix(ERASED).unwrap_or(text))
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

/// `If-None-Match`: what the client has already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfNoneMatch(EntityTags);

impl IfNoneMatch {
    /// The request's condition, if it has one.
    ///
    /// # Errors
    /// 400 when it is malformed.
    pub fn read(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let read = EntityTags::read(headers, &header::IF_NONE_MATCH).map_err(|Malformed| {
            let detail = "if-none-match must be * or a list of quoted etags, like \"3\", \"4\"";
            Problem::new(StatusCode::BAD_REQUEST, "bad-if-none-match", detail)
        })?;
        Ok(read.map(Self))
    }

    /// Whether the client has what has this tag. Weak tags match like others (RFC 9110, 13.1.2).
    #[must_use]
    pub fn has(&self, tag: &str) -> bool {
        self.0.names(tag, true)
    }
}

#[cfg(test)]
mod tests;
