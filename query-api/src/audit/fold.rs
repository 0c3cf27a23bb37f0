//! A stream's state as of then: its events folded up to a version or an instant.

use std::sync::Arc;

use domain::Timestamp;
use domain::aggregate::StreamState;
use domain::event::RecordedEvent;
use domain::position::Position;
use domain::upcast::DecodeError;
use serde::Serialize;
use utoipa::ToSchema;

/// How far to fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Every event.
    Now,
    /// The event of this version is the last.
    Version(u64),
    /// Events decided at this instant are the last.
    At(Timestamp),
}

impl Until {
    fn includes(self, event: &RecordedEvent) -> bool {
        match self {
            Self::Now => true,
            Self::Version(version) => event.version <= version,
            Self::At(at) => event.time <= at,
        }
    }
}

/// A state as of then.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct StateAsOf {
    /// The version of the last event folded.
    pub(crate) version: u64,
    /// The position of the last event folded, `shard:n`.
    #[schema(value_type = String, example = "3:1042")]
    pub(crate) position: Position,
    /// The aggregate's state; personal fields are ciphertext.
    #[schema(value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    pub(crate) state: serde_json::Value,
}

/// A fold on its way. Events must come in order, without a hole.
pub(crate) struct Fold {
    until: Until,
    state: Box<dyn StreamState>,
    last: Option<(u64, Position)>,
}

impl Fold {
    /// A fold from the initial state of the stream's aggregate.
    pub(crate) fn new(initial: Box<dyn StreamState>, until: Until) -> Self {
        Self { until, state: initial, last: None }
    }

    /// The version folded so far; 0 for none.
    pub(crate) fn version(&self) -> u64 {
        self.last.map_or(0, |(version, _)| version)
    }

    /// Folds a page of events; whether more may follow that count.
    ///
    /// # Errors
    /// An event that today's code can't read.
    pub(crate) fn take(&mut self, events: &[Arc<RecordedEvent>]) -> Result<bool, DecodeError> {
        for event in events {
            if !self.until.includes(event) {
                return Ok(false);
            }
            self.state.apply(&event.event_type, event.schema_version, &event.data)?;
            self.last = Some((event.version, event.position));
        }
        Ok(self.until != Until::Version(self.version()))
    }

    /// The state; `None` before the first event, and when the version asked for has not been reached.
    ///
    /// # Errors
    /// When the state has no JSON form.
    pub(crate) fn finish(self) -> serde_json::Result<Option<StateAsOf>> {
        let Some((version, position)) = self.last else { return Ok(None) };
        if matches!(self.until, Until::Version(asked) if asked != version) {
            return Ok(None);
        }
        Ok(Some(StateAsOf { version, position, state: self.state.to_json()? }))
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::audit::event::tests::event;

    fn registry() -> domain::aggregate::Registry {
        domain::catalogue::aggregates(domain::aggregate::Registry::default())
    }

    /// Three events of a product, the last two decided at the same instant.
    fn events() -> Vec<Arc<RecordedEvent>> {
        let details = r#"{"sku":"s","name":"Mug","description":"","category":"c","attributes":{}}"#;
        let usd = |amount| format!(r#"{{"amount":{amount},"currency":"USD"}}"#);
        let created = format!(r#"{{"details":{details},"price":{}}}"#, usd(100));
        let changed = |from, to| format!(r#"{{"old_price":{},"price":{}}}"#, usd(from), usd(to));
        let mut first = event(1, 10, "product.created", &created);
        first.schema_version = 2;
        vec![
            Arc::new(first),
            Arc::new(event(2, 20, "product.price_changed", &changed(100, 200))),
            Arc::new(event(3, 20, "product.price_changed", &changed(200, 300))),
        ]
    }

    fn fold(until: Until, page: usize) -> Option<(u64, u64, i64)> {
        let mut fold = Fold::new(registry().initial("product").unwrap(), until);
        for events in events().chunks(page) {
            if !fold.take(events).unwrap() {
                break;
            }
        }
        let found = fold.finish().unwrap()?;
        Some((found.version, found.position.n, found.state["price"]["amount"].as_i64().unwrap()))
    }

    fn at(second: i64) -> Until {
        Until::At(DateTime::from_timestamp(second, 0).unwrap())
    }

    // proves: AUD-2
    #[test]
    fn instants_are_inclusive_and_versions_exact() {
        for page in 1..=4 {
            assert_eq!(fold(Until::Now, page), Some((3, 30, 300)));
            assert_eq!(fold(at(20), page), Some((3, 30, 300)), "every event of the instant");
            assert_eq!(fold(at(19), page), Some((1, 10, 100)));
            assert_eq!(fold(at(10), page), Some((1, 10, 100)));
            assert_eq!(fold(at(9), page), None, "before the first event");
            assert_eq!(fold(at(99), page), Some((3, 30, 300)));
            for version in 1..=3 {
                assert_eq!(
                    fold(Until::Version(version), page),
                    Some((version, version * 10, version as i64 * 100))
                );
            }
            assert_eq!(fold(Until::Version(0), page), None);
            assert_eq!(fold(Until::Version(4), page), None, "not decided yet");
        }
    }

    #[test]
    fn an_event_that_nobody_can_read_is_an_error() {
        let mut fold = Fold::new(registry().initial("product").unwrap(), Until::Now);
        let unknown = Arc::new(event(1, 10, "product.exploded", "{}"));
        assert!(fold.take(&[unknown]).is_err());
    }
}
