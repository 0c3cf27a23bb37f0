//! Bounded `_bulk` requests.

use ::elasticsearch::http::Method;
use serde_json::{Value, json};

use super::client::{Client, Failure};

/// Bounds of one request; a single larger document goes alone.
const MAX_BYTES: usize = 5 << 20;
const MAX_ITEMS: usize = 2_000;

/// One write.
#[derive(Debug)]
pub(super) struct Write {
    header: Value,
    source: Vec<u8>,
}

/// How a write ended that didn't fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// Done.
    Done,
    /// The index holds another version than the write is meant for.
    Conflict,
}

impl Write {
    /// Writes a document unless the index has it in this version or a later one.
    pub(super) fn versioned(id: &str, version: u64, source: Vec<u8>) -> Self {
        Self { header: json!({"index": {"_id": id, "version": version, "version_type": "external"}}), source }
    }

    /// Writes a document that must not be there.
    pub(super) fn new(id: &str, source: Vec<u8>) -> Self {
        Self { header: json!({"create": {"_id": id}}), source }
    }

    /// Replaces a document that must be as it was read.
    pub(super) fn unchanged(id: &str, seq_no: i64, primary_term: i64, source: Vec<u8>) -> Self {
        let header = json!({"index": {"_id": id, "if_seq_no": seq_no, "if_primary_term": primary_term}});
        Self { header, source }
    }

    /// Its part of the body; at least its bytes there.
    fn size(&self) -> usize {
        self.source.len() + 160
    }

    fn write_to(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(self.header.to_string().as_bytes());
        body.push(b'\n');
        body.extend_from_slice(&self.source);
        body.push(b'\n');
    }
}

/// Writes through an alias, which must be there; the answers in the order of the writes. A failure of one write fails all, and
/// others may be done nevertheless; a refusal counts least, since a repetition won't help.
pub(super) async fn write(client: &Client, alias: &str, writes: &[Write]) -> Result<Vec<Written>, Failure> {
    let mut written = Vec::with_capacity(writes.len());
    let mut refused = None;
    for request in requests(writes) {
        let size = request.iter().map(Write::size).sum();
        let mut body = Vec::with_capacity(size);
        request.iter().for_each(|write| write.write_to(&mut body));
        let path = format!("/{alias}/_bulk?require_alias=true&filter_path=items.*.status,items.*.error");
        let answer = client.send(Method::Post, &path, Some(body)).await?.ok()?;
        let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        if items.len() != request.len() {
            return Err(Failure::Unavailable("a bulk answer lacks items".to_owned()));
        }
        for item in items {
            match outcome(item) {
                Ok(outcome) => written.push(outcome),
                Err(Failure::Refused(reason)) => refused = Some(Failure::Refused(reason)),
                Err(failure) => return Err(failure),
            }
        }
    }
    refused.map_or(Ok(written), Err)
}

fn requests(writes: &[Write]) -> Vec<&[Write]> {
    let mut requests = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, write) in writes.iter().enumerate() {
        if at > start && (bytes + write.size() > MAX_BYTES || at - start == MAX_ITEMS) {
            requests.push(&writes[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += write.size();
    }
    if start < writes.len() {
        requests.push(&writes[start..]);
    }
    requests
}

fn outcome(item: &Value) -> Result<Written, Failure> {
    let result = item.as_object().and_then(|item| item.values().next()).unwrap_or(&Value::Null);
    match result["status"].as_u64() {
        Some(200..300) => Ok(Written::Done),
        Some(409) => Ok(Written::Conflict),
        status => Err(Failure::of(status.unwrap_or(0), &result["error"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_bounded_in_bytes_and_items() {
        let of = |size| Write::versioned("x", 1, vec![b' '; size]);
        let small: Vec<Write> = (0..MAX_ITEMS + 1).map(|_| of(1)).collect();
        assert_eq!(requests(&small).iter().map(|r| r.len()).collect::<Vec<_>>(), [MAX_ITEMS, 1]);
        let large = [of(MAX_BYTES / 2), of(MAX_BYTES / 2), of(MAX_BYTES * 2), of(1)];
        assert_eq!(requests(&large).iter().map(|r| r.len()).collect::<Vec<_>>(), [1, 1, 1, 1]);
        assert!(requests(&[]).is_empty());
    }

    #[test]
    fn items_are_done_conflicts_or_failures() {
        assert_eq!(outcome(&json!({"index": {"status": 201}})), Ok(Written::Done));
        assert_eq!(outcome(&json!({"index": {"status": 409}})), Ok(Written::Conflict));
        let failed = |status, kind: &str| {
            outcome(&json!({"create": {"status": status, "error": {"type": kind, "reason": "r"}}}))
        };
        assert!(matches!(failed(404, "index_not_found_exception"), Err(Failure::Lost(_))));
        assert!(matches!(failed(400, "document_parsing_exception"), Err(Failure::Refused(_))));
        assert!(matches!(failed(429, "es_rejected_execution_exception"), Err(Failure::Unavailable(_))));
        assert!(matches!(failed(503, "unavailable_shards_exception"), Err(Failure::Unavailable(_))));
        assert!(matches!(outcome(&Value::Null), Err(Failure::Unavailable(_))));
    }
}
