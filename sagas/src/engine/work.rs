//! Work: what is to be done outside of the frame that asked for it, as the rows of the work queue and the worker's memory hold it.

use std::borrow::Cow;

use async_trait::async_trait;
use domain::Timestamp;
use domain::event::RecordedEvent;
use domain::stream::{StreamId, StreamRef};
use domain::upcast::DecodeError;
use projections::engine::mark::Mark;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::process::Retry;

/// Whose capacity a piece of work takes, by its name in the work queue: each lane has a bulkhead of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lane(Cow<'static, str>);

impl Lane {
    /// The lane of a name, which stays for good.
    #[must_use]
    pub const fn named(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// The name in the work queue.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A piece of work; also the shape of the row's `item` column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkItem {
    /// The tenant.
    pub tenant: String,
    /// The same for whoever opens it and whoever closes it, and unique within the tenant.
    pub id: String,
    /// The process whose work it is.
    pub process: Cow<'static, str>,
    /// The saga that it belongs to.
    pub saga_id: Uuid,
    /// The saga's correlation id.
    pub correlation_id: Uuid,
    /// The event that opened it.
    pub cause_id: Uuid,
    /// Whose capacity it takes.
    pub lane: Lane,
    /// The stream whose event closes it.
    pub closed_by: StreamRef,
    /// What is to be done, in the process's own form.
    pub work: serde_json::Value,
}

impl WorkItem {
    /// The stream whose event closes it.
    #[must_use]
    pub fn closing_stream(&self) -> StreamId {
        StreamId::new(&self.tenant, &self.closed_by.kind, &self.closed_by.id)
    }

    /// What is to be done, as its process says it.
    ///
    /// # Errors
    /// [`Retry`], when it is in a form that this program doesn't know.
    pub fn work<W: DeserializeOwned>(&self) -> Result<W, Retry> {
        W::deserialize(&self.work)
            .map_err(|error| Retry::somebody(format!("the work {} can't be read: {error}", self.id)))
    }
}

/// What an event does to the work queue of its tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkChange {
    /// There is something to do.
    Opened {
        /// What.
        item: Box<WorkItem>,
        /// When; `None`: at once.
        due_at: Option<Timestamp>,
    },
    /// It is done, or needn't be done any more.
    Closed {
        /// [`WorkItem::id`].
        id: String,
    },
}

/// What a process has to do because of an event.
pub struct Opening<'a> {
    /// The event.
    pub event: &'a RecordedEvent,
    /// [`WorkItem::process`].
    pub process: &'static str,
    /// [`WorkItem::saga_id`]; of a process without a saga, that of the one whose events it follows.
    pub saga_id: Uuid,
    /// [`WorkItem::closed_by`].
    pub closed_by: StreamRef,
}

impl Opening<'_> {
    /// Opens a piece of work, which is due at once when it has no time.
    ///
    /// # Errors
    /// The work has no JSON form.
    pub fn of(
        self,
        id: String,
        lane: Lane,
        work: &impl Serialize,
        due_at: Option<Timestamp>,
    ) -> Result<WorkChange, DecodeError> {
        let Self { event, process, saga_id, closed_by } = self;
        let work = serde_json::to_value(work).map_err(|e| DecodeError::shape(&event.event_type, &e))?;
        let item = WorkItem {
            tenant: event.stream.tenant().to_owned(),
            id,
            process: Cow::Borrowed(process),
            saga_id,
            correlation_id: event.correlation_id,
            cause_id: event.id,
            lane,
            closed_by,
            work,
        };
        Ok(WorkChange::Opened { item: Box::new(item), due_at })
    }
}

/// Why the work queue can't be read: repeat later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the work of the sagas is unavailable: {0}")]
pub struct WorkError(pub String);

/// A place in the open work of a lane, which is read oldest first; by default before all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// When the last piece that was read was opened.
    pub opened_at: Timestamp,
    /// Its tenant.
    pub tenant: String,
    /// Its id.
    pub id: String,
}

/// A piece of open work, as the rows show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWork {
    /// Since when it is open.
    pub opened_at: Timestamp,
    /// When it is due; `None`: at once.
    pub due_at: Option<Timestamp>,
    /// What is to be done.
    pub item: WorkItem,
}

impl OpenWork {
    /// The place after it.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        let (tenant, id) = (self.item.tenant.clone(), self.item.id.clone());
        Cursor { opened_at: self.opened_at, tenant, id }
    }
}

/// A page of open work, and which state of the read model shows it: both are read in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// What the rows hold.
    pub mark: Mark,
    /// The work.
    pub work: Vec<OpenWork>,
}

/// The rows of the work queue.
#[async_trait]
pub trait WorkQueue: Send + Sync + 'static {
    /// Open work of a lane that is due by `by`, oldest first, after `after`, at most `limit` pieces; fewer are the last ones. By lane,
    /// so that work that waits for one of those outside doesn't hide the others'.
    ///
    /// # Errors
    /// [`WorkError`].
    async fn due(&self, lane: &Lane, by: Timestamp, after: &Cursor, limit: usize) -> Result<Due, WorkError>;
}
