//! A process manager: what events give it to do, and how it does one piece of it.

use std::sync::Arc;

use async_trait::async_trait;
use domain::command::CommandError;
use domain::event::RecordedEvent;
use domain::position::Position;
use domain::upcast::DecodeError;

use super::work::{WorkChange, WorkItem};

/// What an event, of whichever stream, gives a process to do: calls and commands for other shards that are to be carried out, deadlines that are to be
/// kept, and what is done. Pure: the rows of the work queue and the worker's memory are made of it. Fails when the event can't be decoded.
pub type React = fn(&RecordedEvent) -> Result<Vec<WorkChange>, DecodeError>;

/// What an event gives all of these processes to do.
///
/// # Errors
/// The event can't be decoded.
pub fn react_all(reactions: &[React], event: &RecordedEvent) -> Result<Vec<WorkChange>, DecodeError> {
    let mut changes = Vec::new();
    for react in reactions {
        changes.extend(react(event)?);
    }
    Ok(changes)
}

/// A process manager: how a process does its work.
#[async_trait]
pub trait ProcessManager: Send + Sync + 'static {
    /// Its name in the work queue, for good.
    fn name(&self) -> &'static str;

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

/// The processes of an application: how all of them react, and who carries out the work of each.
#[derive(Clone)]
pub struct Processes {
    reactions: &'static [React],
    managers: Vec<Arc<dyn ProcessManager>>,
}

impl Processes {
    /// Those that react so. The projection of the work queue is given the same list.
    #[must_use]
    pub fn reacting(reactions: &'static [React]) -> Self {
        Self { reactions, managers: Vec::new() }
    }

    /// With a manager more.
    ///
    /// # Panics
    /// When there is one of its name.
    #[must_use]
    pub fn with(mut self, manager: impl ProcessManager) -> Self {
        let name = manager.name();
        assert!(self.managers.iter().all(|other| other.name() != name), "two processes are called {name}");
        self.managers.push(Arc::new(manager));
        self
    }

    /// What an event gives all of them to do. Pure.
    ///
    /// # Errors
    /// The event can't be decoded.
    pub fn react(&self, event: &RecordedEvent) -> Result<Vec<WorkChange>, DecodeError> {
        react_all(self.reactions, event)
    }

    /// Has the process whose work it is carry it out.
    ///
    /// # Errors
    /// [`Retry`].
    pub async fn perform(&self, item: &WorkItem, tries: u32) -> Result<Position, Retry> {
        match self.managers.iter().find(|manager| manager.name() == item.process) {
            Some(manager) => manager.perform(item, tries).await,
            // A newer program's, or an older one's.
            None => Err(Retry::somebody(format!("there is no process {}", item.process))),
        }
    }
}
