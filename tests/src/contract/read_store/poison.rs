//! Projections that fail on purpose.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use domain::event::RecordedEvent;
use domain::upcast::DecodeError;
use projections::engine::index::SearchIndex;
use projections::engine::model::Projection;
use projections::engine::rows::{RowChange, Table, Value};
use uuid::Uuid;

/// How a projection fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The mapping says no.
    Map,
    /// The mapping makes a change that no store takes: text where a truth value belongs, in a column that isn't there.
    Store,
}

/// A projection that fails on chosen events until it is corrected.
pub struct Poisoned {
    inner: Arc<dyn Projection>,
    failure: Failure,
    events: Mutex<HashSet<Uuid>>,
    version: u32,
    corrected: AtomicBool,
}

impl Poisoned {
    /// Fails on these events.
    #[must_use]
    pub fn new(
        inner: Arc<dyn Projection>,
        failure: Failure,
        events: impl IntoIterator<Item = Uuid>,
    ) -> Arc<Self> {
        let events = Mutex::new(events.into_iter().collect());
        let version = inner.version();
        Arc::new(Self { inner, failure, events, version, corrected: AtomicBool::new(false) })
    }

    /// Fails on nothing, and says that its mapping is another one.
    #[must_use]
    pub fn of_version(inner: Arc<dyn Projection>, version: u32) -> Arc<Self> {
        let corrected = AtomicBool::new(true);
        Arc::new(Self { inner, failure: Failure::Map, events: Mutex::default(), version, corrected })
    }

    /// Fails no more.
    pub fn correct(&self) {
        self.corrected.store(true, Ordering::Relaxed);
    }

    /// Fails no more on this event.
    pub fn correct_one(&self, event: Uuid) {
        self.events.lock().unwrap().remove(&event);
    }
}

impl Projection for Poisoned {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn tables(&self) -> &'static [&'static Table] {
        self.inner.tables()
    }

    fn index(&self) -> Option<&'static SearchIndex> {
        self.inner.index()
    }

    fn map(&self, event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
        let mut changes = self.inner.map(event)?;
        if self.corrected.load(Ordering::Relaxed) || !self.events.lock().unwrap().contains(&event.id) {
            return Ok(changes);
        }
        match self.failure {
            Failure::Map => {
                Err(DecodeError { event_type: event.event_type.clone(), reason: "poison".into() })
            }
            Failure::Store => {
                for change in &mut changes {
                    change.set.push(("no_such_column", Value::Text("poison".into())));
                }
                Ok(changes)
            }
        }
    }
}
