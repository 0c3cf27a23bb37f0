//! What every request carries through its handling: its id, its correlation, and the command that it issued.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use domain::command::CommandId;
use domain::text::card;
use uuid::Uuid;

/// The header that names a request, in both directions.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id that is taken over from a client, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// What is known of a request from its start to its answer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// The client's `X-Request-Id`, or a new UUIDv7.
    pub request_id: Arc<str>,
    /// The trace id of a valid `traceparent`, or a new UUIDv7; becomes the correlation id of the events.
    pub correlation_id: Uuid,
    command: Arc<OnceLock<CommandId>>,
}

impl RequestContext {
    /// Reads the context from a request's headers; whatever is malformed, or looks like a card's number, is replaced, never
    /// refused: both are logged, and the correlation id is stored.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let request_id = headers.get(REQUEST_ID).and_then(|v| v.to_str().ok()).filter(|id| is_visible(id));
        let trace = headers.get("traceparent").and_then(|v| v.to_str().ok()).and_then(trace_id);
        Self {
            request_id: request_id.map_or_else(|| Uuid::now_v7().to_string().into(), Into::into),
            correlation_id: trace.unwrap_or_else(Uuid::now_v7),
            command: Arc::default(),
        }
    }

    /// Notes the command that the request issues, so that an answer cut short by the time limit can name it.
    pub(crate) fn issues(&self, command: CommandId) {
        // A request issues one command; of several the first is the one that its client may repeat.
        let _ = self.command.set(command);
    }

    /// The command that the request has issued.
    #[must_use]
    pub fn issued(&self) -> Option<CommandId> {
        self.command.get().copied()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Infallible;

    /// The context of the request's envelope; without one (a router used bare) a new one.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_else(|| Self::of(&parts.headers)))
    }
}

fn is_visible(id: &str) -> bool {
    (1..=MAX_REQUEST_ID).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_graphic())
        && !card::identifier_contains_number(id)
}

/// The trace id of a W3C `traceparent` (Trace Context, 3.2): `version-traceid-parentid-flags`, lower-case hex.
fn trace_id(text: &str) -> Option<Uuid> {
    let mut parts = text.trim().split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let well_formed = hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    // Version 00 has exactly four parts; later ones may have more; ff is forbidden.
    let version_fits = version != "ff" && (version != "00" || parts.next().is_none());
    let not_zero = trace.bytes().any(|b| b != b'0') && parent.bytes().any(|b| b != b'0');
    // A random id hardly ever has one between its letters, and a new one in its place does no harm.
    let between_letters = trace.replace(|c: char| c.is_ascii_alphabetic(), "/");
    let no_card = !card::contains_number(trace) && !card::identifier_contains_number(&between_letters);
    (well_formed && version_fits && not_zero && no_card).then(|| Uuid::try_parse(trace).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(name: &'static str, value: &str) -> RequestContext {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        RequestContext::of(&headers)
    }

    // proves: OPS-4
    #[test]
    fn a_valid_traceparent_becomes_the_correlation_id() {
        let got = context("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        assert_eq!(got.correlation_id.simple().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    }

    #[test]
    fn a_malformed_traceparent_is_replaced() {
        for text in [
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e47-00f067aa0ba902b7-01",
            "00-00000000000000004111111111111111-00f067aa0ba902b7-01",
            "00-4111111111111111abcdefabcdefabcd-00f067aa0ba902b7-01",
        ] {
            let got = context("traceparent", text);
            assert_eq!(got.correlation_id.get_version_num(), 7, "{text}");
        }
    }

    #[test]
    fn request_ids_are_taken_over_only_when_visible_and_short() {
        assert_eq!(&*context("x-request-id", "abc-1").request_id, "abc-1");
        assert_ne!(&*context("x-request-id", "a b").request_id, "a b");
        assert_ne!(&*context("x-request-id", "4111-1111-1111-1111").request_id, "4111-1111-1111-1111");
        assert_eq!(&*context("x-request-id", "1764508800123456789").request_id, "1764508800123456789");
        let long = "a".repeat(129);
        assert_ne!(&*context("x-request-id", &long).request_id, &*long);
    }
}
