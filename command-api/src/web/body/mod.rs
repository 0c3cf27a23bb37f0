//! Request bodies: read within limits, parsed as JSON, and checked field by field, so that an answer names every fault at once.

mod json;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use domain::money::{Currency, MAX_AMOUNT, Money};
use domain::text::card;
use domain::text::characters::shows_something;
use domain::text::identifier;
use domain::uuids::any_spelling;
use http_body_util::BodyExt;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::web::negotiation;
use crate::web::problem::{FieldError, Problem};

/// The largest body, bytes.
pub const MAX_BODY: usize = 1024 * 1024;
/// The most memory set aside for a body before it comes, whatever length is stated. Bytes.
const MAX_RESERVED: usize = 16 * 1024;
/// How long a client may take to send a body: less than a request may take by default, so that it is told what was slow.
const MAX_WAIT: Duration = Duration::from_secs(8);
/// The most faults that an answer lists.
const MAX_FAULTS: usize = 100;

/// Reads a body to its end.
///
/// # Errors
/// 413 past [`MAX_BODY`], 408 when it comes too slowly, 400 when it breaks off.
pub async fn read(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
    let too_large = || {
        let detail = format!("the body is larger than {MAX_BODY} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
    };
    let stated =
        headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    if stated.is_some_and(|bytes: usize| bytes > MAX_BODY) {
        return Err(too_large());
    }
    let mut body = body;
    let reading = async {
        let mut bytes = Vec::with_capacity(stated.unwrap_or(0).min(MAX_RESERVED));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| {
                Problem::new(StatusCode::BAD_REQUEST, "body-broken", "the body broke off before its end")
            })?;
            if let Some(data) = frame.data_ref() {
                if bytes.len() + data.len() > MAX_BODY {
                    return Err(too_large());
                }
                bytes.extend_from_slice(data);
            }
        }
        Ok(bytes)
    };
    tokio::time::timeout(MAX_WAIT, reading).await.unwrap_or_else(|_| {
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "request-timeout", "the body came too slowly"))
    })
}

/// What an operation's body is read into.
pub trait FromBody: Sized {
    /// Whether no body at all stands for `{}`.
    const MAY_BE_EMPTY: bool = false;

    /// Takes the fields; `None` only after a fault was noted.
    fn from_fields(fields: &mut Fields<'_>) -> Option<Self>;
}

/// No body, or an empty object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoBody;

impl FromBody for NoBody {
    const MAY_BE_EMPTY: bool = true;

    fn from_fields(_: &mut Fields<'_>) -> Option<Self> {
        Some(Self)
    }
}

/// Parses a body's bytes.
///
/// # Errors
/// 415 for another media type or a content encoding, 400 `malformed-json`.
pub fn parse<B: FromBody>(headers: &HeaderMap, bytes: &[u8]) -> Result<Value, Problem> {
    let malformed = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "malformed-json", detail);
    if bytes.is_empty() {
        return if B::MAY_BE_EMPTY {
            Ok(Value::Object(Map::new()))
        } else {
            Err(malformed("this operation needs a json body".to_owned()))
        };
    }
    negotiation::is_json(headers)?;
    negotiation::is_plain(headers)?;
    json::parse(bytes).map_err(|e| malformed(format!("the body is not well-formed json: {e}")))
}

/// Checks a parsed body.
///
/// # Errors
/// 422 with every fault found.
pub fn check<B: FromBody>(value: &Value) -> Result<B, Problem> {
    let mut faults = Faults::default();
    let Value::Object(object) = value else {
        faults.note("", "must be an object");
        return Err(faults.into_problem());
    };
    let mut fields = Fields::new(object, String::new(), &mut faults);
    let body = B::from_fields(&mut fields);
    fields.end();
    match body {
        Some(body) if faults.is_empty() => Ok(body),
        _ => Err(faults.into_problem()),
    }
}

/// The JSON text of a value with sorted keys and no spaces, the same for every way of writing it.
#[must_use]
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<_, _> = object.iter().collect();
            let pairs = sorted
                .into_iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        scalar => scalar.to_string(),
    }
}

#[derive(Debug, Default)]
struct Faults {
    errors: Vec<FieldError>,
    card: bool,
}

impl Faults {
    fn note(&mut self, pointer: &str, detail: impl Into<String>) {
        if self.errors.len() < MAX_FAULTS {
            self.errors.push(FieldError { pointer: pointer.to_owned(), detail: detail.into() });
        }
    }

    fn note_card(&mut self, pointer: &str) {
        self.card = true;
        self.note(pointer, "looks like a card number");
    }

    fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    fn into_problem(self) -> Problem {
        if !self.card {
            return Problem::invalid(self.errors);
        }
        Problem { errors: self.errors, ..Problem::card_number(StatusCode::UNPROCESSABLE_ENTITY) }
    }
}

/// What a text may look like. None but a secret, which is never stored, may hold what looks like a card's number (SEC-7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// One line that shows something.
    Line,
    /// Lines and tabs; may be blank.
    Prose,
    /// Anything, taken as it is.
    Secret,
}

/// The fields of one object. Each is taken once; whatever is left at the end is refused as unknown.
pub struct Fields<'a> {
    object: &'a Map<String, Value>,
    at: String,
    taken: Vec<&'static str>,
    faults: &'a mut Faults,
}

impl<'a> Fields<'a> {
    fn new(object: &'a Map<String, Value>, at: String, faults: &'a mut Faults) -> Self {
        Self { object, at, taken: Vec::new(), faults }
    }

    /// Notes a fault of a field of this object.
    pub fn fault(&mut self, name: &str, detail: impl Into<String>) {
        self.faults.note(&pointer(&self.at, name), detail);
    }

    fn take(&mut self, name: &'static str) -> Option<&'a Value> {
        self.taken.push(name);
        self.object.get(name)
    }

    fn require(&mut self, name: &'static str) -> Option<&'a Value> {
        let value = self.take(name);
        if value.is_none() {
            self.fault(name, "is required");
        }
        value
    }

    /// A text of so many characters.
    pub fn text(&mut self, name: &'static str, kind: Text, length: RangeInclusive<usize>) -> Option<String> {
        let value = self.require(name)?;
        self.text_of(name, value, kind, length)
    }

    /// As [`Self::text`], or `default` when the field is missing.
    pub fn text_or(
        &mut self,
        name: &'static str,
        kind: Text,
        length: RangeInclusive<usize>,
        default: &str,
    ) -> Option<String> {
        match self.take(name) {
            Some(value) => self.text_of(name, value, kind, length),
            None => Some(default.to_owned()),
        }
    }

    fn text_of(
        &mut self,
        name: &str,
        value: &Value,
        kind: Text,
        length: RangeInclusive<usize>,
    ) -> Option<String> {
        match checked_text(value, kind, &length) {
            Ok(text) if kind != Text::Secret && card::contains_number(text) => {
                self.faults.note_card(&pointer(&self.at, name));
                None
            }
            Ok(text) => Some(text.to_owned()),
            Err(detail) => {
                self.fault(name, detail);
                None
            }
        }
    }

    /// An identifier that people type, as it is shown; both forms have so many characters.
    pub fn identifier(&mut self, name: &'static str, length: RangeInclusive<usize>) -> Option<String> {
        let typed = self.text(name, Text::Line, length.clone())?;
        match checked_identifier(&typed, *length.end()) {
            Ok(shown) => Some(shown),
            Err(detail) => {
                self.fault(name, detail);
                None
            }
        }
    }

    /// An integer; `1.0` and `"1"` are none.
    pub fn integer(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.require(name)?;
        let number = value.as_u64().filter(|n| range.contains(n));
        if number.is_some_and(|n| card::contains_number(&n.to_string())) {
            self.faults.note_card(&pointer(&self.at, name));
            return None;
        }
        if number.is_none() {
            self.fault(name, format!("must be an integer from {} to {}", range.start(), range.end()));
        }
        number
    }

    /// A UUID, in any of its spellings.
    pub fn uuid(&mut self, name: &'static str) -> Option<Uuid> {
        let value = self.require(name)?;
        let id = value.as_str().and_then(any_spelling);
        if id.is_none() {
            self.fault(name, "must be a uuid");
        }
        id
    }

    /// Money above nothing.
    pub fn money(&mut self, name: &'static str) -> Option<Money> {
        self.object(name, |fields| {
            let amount = fields.integer("amount", 1..=MAX_AMOUNT.unsigned_abs());
            let code = fields.require("currency")?;
            let currency = code.as_str().and_then(|code| code.parse::<Currency>().ok());
            if currency.is_none() {
                fields.fault("currency", "must be one of USD, EUR, GBP");
            }
            Some(Money::new(i64::try_from(amount?).ok()?, currency?))
        })
    }

    /// An object of its own fields.
    pub fn object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        let value = self.require(name)?;
        let at = pointer(&self.at, name);
        object_of(value, at, self.faults, read)
    }

    /// A list of so many objects; `None` when any of them has a fault.
    pub fn list<T>(
        &mut self,
        name: &'static str,
        length: RangeInclusive<usize>,
        mut read: impl FnMut(&mut Fields<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let value = self.require(name)?;
        let Some(items) = value.as_array().filter(|items| length.contains(&items.len())) else {
            self.fault(name, format!("must be a list of {} to {} objects", length.start(), length.end()));
            return None;
        };
        let at = pointer(&self.at, name);
        let read: Vec<Option<T>> = items
            .iter()
            .enumerate()
            .map(|(i, item)| object_of(item, format!("{at}/{i}"), self.faults, &mut read))
            .collect();
        read.into_iter().collect()
    }

    /// An object of texts by identifier; empty when the field is missing.
    pub fn texts(
        &mut self,
        name: &'static str,
        most: usize,
        key: usize,
        value: usize,
    ) -> Option<BTreeMap<String, String>> {
        let Some(object) = self.take(name) else { return Some(BTreeMap::new()) };
        let Some(object) = object.as_object().filter(|object| object.len() <= most) else {
            self.fault(name, format!("must be an object of at most {most} texts"));
            return None;
        };
        let at = pointer(&self.at, name);
        let mut texts = BTreeMap::new();
        let mut names = BTreeSet::new();
        let before = self.faults.errors.len();
        for (k, v) in object {
            let name = checked_text(&Value::from(k.as_str()), Text::Line, &(1..=key))
                .and_then(|typed| checked_identifier(typed, key));
            match &name {
                Err(detail) => self.faults.note(&pointer(&at, k), format!("its name {detail}")),
                Ok(shown) if !names.insert(identifier::normal(shown).unwrap_or_default()) => {
                    self.faults.note(&pointer(&at, k), "its name is there already, in another spelling");
                }
                Ok(_) => {}
            }
            if card::contains_number(k) {
                self.faults.note_card(&at);
                continue;
            }
            match checked_text(v, Text::Prose, &(0..=value)) {
                Ok(text) if card::contains_number(text) => self.faults.note_card(&pointer(&at, k)),
                Ok(text) => drop(texts.insert(name.unwrap_or_default(), text.to_owned())),
                Err(detail) => self.faults.note(&pointer(&at, k), detail),
            }
        }
        (self.faults.errors.len() == before).then_some(texts)
    }

    fn end(self) {
        for name in self.object.keys().filter(|name| !self.taken.contains(&name.as_str())) {
            self.faults.note(&pointer(&self.at, name), "is not a field of this operation");
        }
    }
}

fn object_of<T>(
    value: &Value,
    at: String,
    faults: &mut Faults,
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Option<T> {
    let Value::Object(object) = value else {
        faults.note(&at, "must be an object");
        return None;
    };
    let mut fields = Fields::new(object, at, faults);
    let read = read(&mut fields);
    fields.end();
    read
}

/// A JSON pointer one step further (RFC 6901, 3); the step is cut where it is absurdly long.
fn pointer(at: &str, step: &str) -> String {
    let step: String = step.chars().take(100).collect();
    format!("{at}/{}", step.replace('~', "~0").replace('/', "~1"))
}

fn checked_text<'v>(value: &'v Value, kind: Text, length: &RangeInclusive<usize>) -> Result<&'v str, String> {
    let text = value.as_str().ok_or("must be a text")?;
    let chars = text.chars().take(length.end() + 1).count();
    if !length.contains(&chars) {
        return Err(format!("must have {} to {} characters", length.start(), length.end()));
    }
    let forbidden = |c: char| match kind {
        Text::Line => c.is_control(),
        Text::Prose => c.is_control() && !matches!(c, '\n' | '\r' | '\t'),
        Text::Secret => c == '\0',
    };
    if text.contains(forbidden) {
        return Err("has control characters".to_owned());
    }
    if kind == Text::Line && !shows_something(text) {
        return Err("must not be blank".to_owned());
    }
    Ok(text)
}

/// The identifier as it is shown.
fn checked_identifier(typed: &str, most: usize) -> Result<String, String> {
    let normal = identifier::normal(typed).map_err(|e| e.to_string())?;
    // Compatibility forms may unfold to many characters.
    if normal.chars().count() > most {
        return Err(format!("must have 1 to {most} characters"));
    }
    identifier::shown(typed).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests;
