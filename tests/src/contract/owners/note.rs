//! An aggregate of nobody's shop, for events of any size: any application's aggregates run on the same owners.

use std::sync::Arc;

use command_api::owner::{OwnerConfig, Owners};
use domain::aggregate::{Aggregate, DecisionContext, Registry};
use domain::command::{CommandId, CommandRequest, Step};
use domain::ports::clock::SystemClock;
use domain::ports::log::EventLog;
use domain::refusal::{DomainError, RefusalKind};
use domain::stream::StreamId;
use serde::{Deserialize, Serialize};

use super::world::Published;

/// Writing a text of this length makes the decision panic.
pub const PANICS: usize = usize::MAX;

/// The stream of the note that most cases use.
pub fn note() -> StreamId {
    StreamId::new("default", "note", "1")
}

/// The stream of another note.
pub fn other_note() -> StreamId {
    StreamId::new("default", "note", "2")
}

/// Writes a text of this length.
pub fn write(length: usize) -> CommandRequest {
    write_to(note(), length)
}

/// Writes a text of this length to a note.
pub fn write_to(note: StreamId, length: usize) -> CommandRequest {
    CommandRequest::new(CommandId::fresh(), "system:test", vec![Step::new(note, Write { length })])
}

/// Owners that know notes only.
pub async fn owners(log: Arc<dyn EventLog>, config: OwnerConfig) -> Arc<Owners> {
    let registry = Arc::new(Registry::default().with::<Note>());
    let published = Arc::new(Published::default());
    let owners = Owners::start(log, registry, published, Arc::new(SystemClock), config).await;
    Arc::new(owners.expect("the store can be taken over"))
}

/// A note.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// Of its text, in bytes.
    pub length: usize,
}

/// Writes a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Write {
    length: usize,
}

/// It was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Written {
    text: String,
}

domain::events! {
    /// What can happen to a note.
    pub enum NoteEvent {
        /// It was written.
        "note.written" 1 => Written(Written),
    }
}

/// Nothing is refused.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("never")]
pub struct NoteError;

impl DomainError for NoteError {
    fn kind(&self) -> RefusalKind {
        RefusalKind::Invalid
    }

    fn code(&self) -> &'static str {
        "never"
    }
}

domain::cqrs_aggregate!(Note, "note", Write, NoteEvent, NoteError);

impl Aggregate for Note {
    fn decide(&self, command: &Write, _context: &DecisionContext) -> Result<Vec<NoteEvent>, NoteError> {
        assert!(command.length != PANICS, "a decision that panics, as asked for");
        Ok(vec![NoteEvent::Written(Written { text: "x".repeat(command.length) })])
    }

    fn evolve(&mut self, event: &NoteEvent) {
        let NoteEvent::Written(written) = event;
        self.length = written.text.len();
    }
}
