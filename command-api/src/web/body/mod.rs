//! Request bodies: read within limits, parsed as JSON, and checked field by field, so that an answer names every fault at once.

mod fields;
mod json;
mod rules;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Map, Value};

pub use self::fields::{At, Faults, Fields};
pub use self::rules::{
    Rule, Shape, identifier, integer, line, list, money, object, one_of, prose, secret, string, texts, uuid,
};
use crate::web::negotiation;
use crate::web::problem::Problem;

/// The largest body, bytes.
pub const MAX_BODY: usize = 1024 * 1024;
/// The most memory set aside for a body before it comes, whatever length is stated. Bytes.
const MAX_RESERVED: usize = 16 * 1024;
/// How long a client may take to send a body: less than a request may take by default, so that it is told what was slow.
const MAX_WAIT: Duration = Duration::from_secs(8);

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
    match fields::object_of(value, &At::Body, &mut faults, B::from_fields) {
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

#[cfg(test)]
mod tests;
