//! Streams of other applications: Tillstream keeps their events as they serialise them, and decides nothing but their order.
//!
//! A stored event's type is the application's own, its schema version is that of the wrapping (1), and its data is
//! `{"version": <the application's event version>, "payload": …, "metadata": …}`.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::aggregate::{
    self, AnyCommand, Decided, DecisionContext, FoldId, SnapshotState, StreamMeta, StreamState,
};
use crate::event::NewEvent;
use crate::follow_on::Neighbours;
use crate::refusal::{Refusal, RefusalKind};
use crate::upcast::DecodeError;

/// The schema version of the wrapping.
const WRAPPING: u16 = 1;

/// How many of a stream's latest events its owner keeps in memory, so that they are read before derived rows have them.
pub const RECENT: usize = 256;
/// And how many bytes of them, about; the last one always.
pub const RECENT_BYTES: usize = 1 << 20;

/// An event of an application, serialised by it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForeignEvent {
    /// Its type, in the application's words; not empty.
    pub event_type: String,
    /// The rest.
    pub body: ForeignBody,
}

/// What a stored event's data holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForeignBody {
    /// The application's version of the event.
    pub version: String,
    /// The event.
    pub payload: Value,
    /// What the application says about it.
    pub metadata: Value,
}

impl ForeignEvent {
    /// Bytes in memory, about.
    fn weight(&self) -> usize {
        fn of(value: &Value) -> usize {
            let within = match value {
                Value::String(text) => text.len(),
                Value::Array(items) => items.iter().map(of).sum(),
                Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + 48 + of(value)).sum(),
                Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            };
            size_of::<Value>() + within
        }
        let body = &self.body;
        self.event_type.len() + body.version.len() + of(&body.payload) + of(&body.metadata) + 64
    }
}

impl ForeignBody {
    /// Reads a stored event's data.
    ///
    /// # Errors
    /// When it isn't what [`ForeignBody`] writes.
    pub fn decode(event_type: &str, schema_version: u16, data: &str) -> Result<Self, DecodeError> {
        if schema_version != WRAPPING {
            let reason = format!("schema version {schema_version} is not {WRAPPING}");
            return Err(DecodeError { event_type: event_type.to_owned(), reason });
        }
        serde_json::from_str(data).map_err(|e| DecodeError::shape(event_type, &e))
    }
}

/// Appends events to a stream, all or none; [`Step::expected_version`](crate::command::Step::expected_version) says after which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Append {
    /// In order.
    pub events: Vec<ForeignEvent>,
}

/// A stream of another application, as its owner keeps it: how long it is, and its latest events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ForeignStream {
    version: u64,
    #[serde(with = "shared")]
    recent: VecDeque<Arc<ForeignEvent>>,
    /// About what `recent` takes.
    #[serde(skip)]
    bytes: usize,
}

/// Shared events are written as what they are.
mod shared {
    use super::{Arc, ForeignEvent, VecDeque};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        events: &VecDeque<Arc<ForeignEvent>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(events.iter().map(Arc::as_ref))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<VecDeque<Arc<ForeignEvent>>, D::Error> {
        let events: Vec<ForeignEvent> = Vec::deserialize(deserializer)?;
        Ok(events.into_iter().map(Arc::new).collect())
    }
}

impl ForeignStream {
    /// The stream's version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The latest events with their versions, oldest first: all of them, or the last ones up to [`RECENT`] and [`RECENT_BYTES`].
    pub fn recent(&self) -> impl Iterator<Item = (u64, &ForeignEvent)> {
        let first = self.version + 1 - self.recent.len() as u64;
        (first..).zip(self.recent.iter().map(Arc::as_ref))
    }

    fn push(&mut self, event: Arc<ForeignEvent>) {
        self.version += 1;
        self.bytes += event.weight();
        self.recent.push_back(event);
        while self.recent.len() > RECENT || (self.bytes > RECENT_BYTES && self.recent.len() > 1) {
            let Some(oldest) = self.recent.pop_front() else { break };
            self.bytes -= oldest.weight();
        }
    }

    fn fold_id() -> FoldId {
        aggregate::fold_id("foreign", "1")
    }

    fn digest(state: &str) -> [u8; 32] {
        Sha256::new().chain_update("foreign-1\0").chain_update(state).finalize().into()
    }

    /// The state that a snapshot holds; `None` when it was changed, or has another shape.
    #[must_use]
    pub fn restore(snapshot: &SnapshotState) -> Option<Self> {
        let current = snapshot.is_of(Self::fold_id(), &Self::digest(&snapshot.state));
        let mut stream: Self = current.then(|| serde_json::from_str(&snapshot.state).ok()).flatten()?;
        stream.bytes = stream.recent.iter().map(|event| event.weight()).sum();
        Some(stream)
    }
}

fn invalid(detail: &str) -> Refusal {
    Refusal { kind: RefusalKind::Invalid, code: "invalid-append".to_owned(), detail: detail.to_owned() }
}

impl StreamState for ForeignStream {
    fn decide_beside(
        &self,
        command: &dyn AnyCommand,
        _context: &DecisionContext,
        _neighbours: &mut dyn Neighbours,
    ) -> Result<Decided, Refusal> {
        let Some(append) = command.as_any().downcast_ref::<Append>() else {
            return Err(invalid("the command doesn't append to a stream of another application"));
        };
        if append.events.iter().any(|event| event.event_type.is_empty()) {
            return Err(invalid("an event without a type"));
        }
        let mut events = Vec::with_capacity(append.events.len());
        for event in &append.events {
            let data = serde_json::to_string(&event.body).map_err(|e| invalid(&e.to_string()))?;
            events.push(NewEvent {
                event_type: event.event_type.clone().into(),
                schema_version: WRAPPING,
                data,
            });
        }
        let typed: Vec<Arc<ForeignEvent>> = append.events.iter().cloned().map(Arc::new).collect();
        Ok(Decided::new(events, typed))
    }

    fn evolve(&mut self, decided: Decided) {
        let typed: Option<Vec<Arc<ForeignEvent>>> = decided.into_typed();
        typed.into_iter().flatten().for_each(|event| self.push(event));
    }

    fn apply(&mut self, event_type: &str, schema_version: u16, data: &str) -> Result<(), DecodeError> {
        let body = ForeignBody::decode(event_type, schema_version, data)?;
        self.push(Arc::new(ForeignEvent { event_type: event_type.to_owned(), body }));
        Ok(())
    }

    fn answer(&self, _meta: &StreamMeta) -> Option<Value> {
        None
    }

    fn weight(&self) -> usize {
        size_of::<Self>() + self.bytes
    }

    fn fold_id(&self) -> FoldId {
        Self::fold_id()
    }

    fn to_json(&self) -> serde_json::Result<Value> {
        serde_json::to_value(self)
    }

    fn snapshot(&self) -> serde_json::Result<SnapshotState> {
        let state = serde_json::to_string(self)?;
        Ok(SnapshotState { fold: Self::digest(&state), state })
    }

    fn boxed_clone(&self) -> Box<dyn StreamState> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: usize) -> ForeignEvent {
        let body = ForeignBody {
            version: "1.0".into(),
            payload: serde_json::json!({ "n": n }),
            metadata: Value::Null,
        };
        ForeignEvent { event_type: "Counted".into(), body }
    }

    #[test]
    fn what_is_decided_is_what_is_read_back() {
        let mut live = ForeignStream::default();
        let mut read = ForeignStream::default();
        let context = DecisionContext {
            stream: crate::stream::StreamId::new("default", "Counter", "1"),
            now: crate::Timestamp::UNIX_EPOCH,
            version: 0,
        };
        for n in 0..RECENT + 10 {
            let decided = live.decide(&Append { events: vec![event(n)] }, &context).unwrap();
            for stored in &decided.events {
                read.apply(&stored.event_type, stored.schema_version, &stored.data).unwrap();
            }
            live.evolve(decided);
        }
        assert_eq!(live, read);
        assert_eq!(live.version(), (RECENT + 10) as u64);
        assert_eq!(live.recent().next().map(|(version, _)| version), Some(11));
        assert_eq!(ForeignStream::restore(&live.snapshot().unwrap()), Some(live));
    }

    #[test]
    fn a_changed_snapshot_is_ignored() {
        let mut snapshot = ForeignStream::default().snapshot().unwrap();
        snapshot.state = snapshot.state.replace("\"version\":0", "\"version\":1");
        assert_eq!(ForeignStream::restore(&snapshot), None);
    }
}
