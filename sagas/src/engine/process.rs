//! A process manager: what events give it to do, and how it does one piece of it.

use std::sync::Arc;

use async_trait::async_trait;
use domain::command::CommandError;
use domain::event::RecordedEvent;
use domain::position::Position;
use domain::upcast::DecodeError;

use super::work::{WorkChange, WorkItem};

/// A process manager.
#[async_trait]
pub trait ProcessManager: Send + Sync + 'static {
    /// Its name in the work queue, for good.
    fn name(&self) -> &'static str;

    /// What an event, of whichever stream, does to its work: calls and commands for other shards that are to be carried out, deadlines that are to
    /// be kept, and what is done. Pure.
    ///
    /// # Errors
    /// The event can't be decoded.
    fn react(&self, event: &RecordedEvent) -> Result<Vec<WorkChange>, DecodeError>;

    /// Carries out a piece of its work that failed `tries` times before; returns the position from which on the read model shows it closed.
    /// It may be carried out again, by this worker or another one, so every command has an id derived from the work, and every call outside a
    /// key that was persisted before.
    ///
    /// # Errors
    /// [`Retry`].
    async fn perform(&self, item: &WorkItem, tries: u32) -> Result<Position, Retry>;
}

/// The work is not done: repeat it, under the same ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Retry {
    /// What is in the way.
    pub reason: String,
    /// It won't go away by itself.
    pub needs_somebody: bool,
}

impl Retry {
    /// It may go well later.
    pub fn later(reason: impl ToString) -> Self {
        Self { reason: reason.to_string(), needs_somebody: false }
    }

    /// It won't go away by itself.
    pub fn somebody(reason: impl ToString) -> Self {
        Self { reason: reason.to_string(), needs_somebody: true }
    }
}

impl From<CommandError> for Retry {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::InFlight
            | CommandError::Overloaded
            | CommandError::OutcomeUnknown(_)
            | CommandError::NotOwner { .. }
            | CommandError::Unavailable(_) => Self::later(error),
            CommandError::Refused(_)
            | CommandError::BodyMismatch
            | CommandError::TooLarge { .. }
            | CommandError::Internal(_) => Self::somebody(error),
        }
    }
}

/// The process managers of an application.
#[derive(Clone, Default)]
pub struct Processes(Vec<Arc<dyn ProcessManager>>);

impl Processes {
    /// With one more.
    #[must_use]
    pub fn with(mut self, process: impl ProcessManager) -> Self {
        self.0.push(Arc::new(process));
        self
    }

    /// What an event does to the work of all of them. Pure.
    ///
    /// # Errors
    /// The event can't be decoded.
    pub fn react(&self, event: &RecordedEvent) -> Result<Vec<WorkChange>, DecodeError> {
        let mut changes = Vec::new();
        for process in &self.0 {
            changes.extend(process.react(event)?);
        }
        Ok(changes)
    }

    /// Has the process whose work it is carry it out.
    ///
    /// # Errors
    /// [`Retry`].
    pub async fn perform(&self, item: &WorkItem, tries: u32) -> Result<Position, Retry> {
        match self.0.iter().find(|process| process.name() == item.process) {
            Some(process) => process.perform(item, tries).await,
            // A newer program's, or an older one's.
            None => Err(Retry::somebody(format!("there is no process {}", item.process))),
        }
    }
}
