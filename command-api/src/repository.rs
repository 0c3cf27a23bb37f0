//! Any cqrs-es application on Tillstream's log: a [`PersistedEventRepository`] over the owners.
//!
//! ```ignore
//! let registry = Registry::default().with_foreign(MyAggregate::TYPE);
//! // … owners of the log with that registry, then:
//! let repository = LogEventRepository::new(owners, log);
//! let store = PersistedEventStore::<_, MyAggregate>::new_event_store(repository);
//! let application = CqrsFramework::new(store, queries, services);
//! ```
//!
//! Differences that a user of another repository meets: a commit that was not acknowledged may have been decided all the same
//! ([`PersistenceError::ConnectionError`]: load the aggregate again); and snapshots given to it are not kept, since the owner
//! has the latest events of a stream in memory and cqrs-es 0.5 applies some events twice when it loads from a snapshot.

use std::sync::Arc;
use std::time::Duration;

use cqrs_es::Aggregate;
use cqrs_es::persist::{
    PersistedEventRepository, PersistenceError, ReplayFeed, ReplayStream, SerializedEvent, SerializedSnapshot,
};
use domain::command::{CommandError, CommandId, CommandRequest, Step};
use domain::event::RecordedEvent;
use domain::foreign::{Append, ForeignBody, ForeignEvent, ForeignStream};
use domain::pauses::Pauses;
use domain::ports::gateway::CommandGateway;
use domain::ports::log::{LogError, LogReader};
use domain::ports::walk::Walk;
use domain::position::Shard;
use domain::refusal::RefusalKind;
use domain::stream::{DEFAULT_TENANT, StreamId};
use serde_json::Value;

/// Events read from derived rows at once.
const PAGE: usize = 1_000;
/// Events that a replay reads ahead.
const REPLAY_QUEUE: usize = 1_000;
/// How long a read waits for derived rows that are behind the owner's memory.
const CATCH_UP: Duration = Duration::from_secs(10);

/// Events of cqrs-es aggregates in the log of a tenant. Every aggregate type must be in the owners' registry, as
/// [`Registry::with_foreign`](domain::aggregate::Registry::with_foreign) puts it there. Cheap to clone.
#[derive(Clone)]
pub struct LogEventRepository {
    gateway: Arc<dyn CommandGateway>,
    log: Arc<dyn LogReader>,
    tenant: Arc<str>,
}

impl LogEventRepository {
    /// A repository over the owners of a log, for the tenant of installations that have only one.
    #[must_use]
    pub fn new(gateway: Arc<dyn CommandGateway>, log: Arc<dyn LogReader>) -> Self {
        Self { gateway, log, tenant: DEFAULT_TENANT.into() }
    }

    /// The same for another tenant.
    #[must_use]
    pub fn for_tenant(mut self, tenant: &str) -> Self {
        self.tenant = tenant.into();
        self
    }

    fn stream<A: Aggregate>(&self, id: &str) -> StreamId {
        StreamId::new(&self.tenant, A::TYPE, id)
    }

    /// The events after a version: the latest ones from the owner's memory, older ones from derived rows.
    async fn events_after(
        &self,
        stream: &StreamId,
        after: u64,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        let view = self.gateway.read(std::slice::from_ref(stream)).await.map_err(command_error)?.pop();
        // A stream without events has no state to tell.
        let Some(known) = view.as_ref().and_then(|view| view.state::<ForeignStream>()) else {
            return Ok(Vec::new());
        };
        let mut events = Vec::new();
        let first = known.recent().next().map_or(known.version() + 1, |(version, _)| version);
        self.older(stream, after, first, &mut events).await?;
        let recent = known.recent().filter(|(version, _)| *version > after);
        events.extend(recent.map(|(version, event)| {
            serialized(stream, version, event.event_type.clone(), event.body.clone())
        }));
        Ok(events)
    }

    /// The events above `after` and below `end`, from derived rows, which are written behind.
    async fn older(
        &self,
        stream: &StreamId,
        mut after: u64,
        end: u64,
        events: &mut Vec<SerializedEvent>,
    ) -> Result<(), PersistenceError> {
        let read = async {
            let mut pauses = Pauses::new(Duration::from_millis(5), Duration::from_millis(250));
            while after + 1 < end {
                let limit = PAGE.min(usize::try_from(end - after - 1).unwrap_or(PAGE));
                let page = self.log.read_stream(stream, after, limit).await.map_err(log_error)?;
                if page.is_empty() {
                    tokio::time::sleep(pauses.further()).await;
                }
                for event in &page {
                    after = event.version;
                    events.push(recorded(event)?);
                }
            }
            Ok(())
        };
        tokio::time::timeout(CATCH_UP, read).await.unwrap_or_else(|_| {
            Err(PersistenceError::ConnectionError("derived rows are too far behind".into()))
        })
    }

    /// Every event of an aggregate type, shard by shard; an error ends the replay and is its last item.
    async fn replay_all(&self, kind: &'static str, feed: &mut ReplayFeed) -> Result<(), PersistenceError> {
        for shard in (0..self.log.store().shards).map(Shard) {
            let mut walk = Walk::from_frame(&*self.log, shard, 1);
            loop {
                let page = walk.page().await.map_err(log_error)?;
                if page.is_empty() {
                    break;
                }
                for frame in page {
                    let ours = |event: &RecordedEvent| {
                        event.stream.kind() == kind && event.stream.tenant() == &*self.tenant
                    };
                    for event in frame.events.iter().filter(|event| ours(event)) {
                        feed.push(Ok(recorded(event)?)).await?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn serialized(stream: &StreamId, version: u64, event_type: String, body: ForeignBody) -> SerializedEvent {
    SerializedEvent {
        aggregate_id: stream.id().to_owned(),
        sequence: usize::try_from(version).unwrap_or(usize::MAX),
        aggregate_type: stream.kind().to_owned(),
        event_type,
        event_version: body.version,
        payload: body.payload,
        metadata: body.metadata,
    }
}

fn recorded(event: &RecordedEvent) -> Result<SerializedEvent, PersistenceError> {
    let body =
        ForeignBody::decode(&event.event_type, event.schema_version, &event.data).map_err(unreadable)?;
    Ok(serialized(&event.stream, event.version, event.event_type.clone(), body))
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> PersistenceError {
    PersistenceError::DeserializationError(Box::new(error))
}

fn log_error(error: LogError) -> PersistenceError {
    match error {
        LogError::Unavailable(_) => PersistenceError::ConnectionError(Box::new(error)),
        LogError::Corrupt(..) => unreadable(error),
    }
}

fn command_error(error: CommandError) -> PersistenceError {
    match error {
        CommandError::Refused(refusal) if refusal.kind == RefusalKind::StaleVersion => {
            PersistenceError::OptimisticLockError
        }
        CommandError::Refused(_)
        | CommandError::TooLarge { .. }
        | CommandError::Internal(_)
        | CommandError::BodyMismatch => PersistenceError::UnknownError(Box::new(error)),
        _ => PersistenceError::ConnectionError(Box::new(error)),
    }
}

impl PersistedEventRepository for LogEventRepository {
    async fn get_events<A: Aggregate>(
        &self,
        aggregate_id: &str,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        self.events_after(&self.stream::<A>(aggregate_id), 0).await
    }

    async fn get_last_events<A: Aggregate>(
        &self,
        aggregate_id: &str,
        last_sequence: usize,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        self.events_after(&self.stream::<A>(aggregate_id), last_sequence as u64).await
    }

    async fn get_snapshot<A: Aggregate>(
        &self,
        _aggregate_id: &str,
    ) -> Result<Option<SerializedSnapshot>, PersistenceError> {
        Ok(None)
    }

    async fn persist<A: Aggregate>(
        &self,
        events: &[SerializedEvent],
        _snapshot_update: Option<(String, Value, usize)>,
    ) -> Result<(), PersistenceError> {
        let Some(first) = events.first() else { return Ok(()) };
        let dense = events.iter().zip(first.sequence..).all(|(event, expected)| event.sequence == expected);
        if !dense || first.sequence == 0 {
            return Err(PersistenceError::OptimisticLockError);
        }
        if events.iter().any(|event| event.aggregate_id != first.aggregate_id) {
            return Err(PersistenceError::UnknownError("events of several aggregates".into()));
        }
        let append = Append {
            events: events
                .iter()
                .map(|event| ForeignEvent {
                    event_type: event.event_type.clone(),
                    body: ForeignBody {
                        version: event.event_version.clone(),
                        payload: event.payload.clone(),
                        metadata: event.metadata.clone(),
                    },
                })
                .collect(),
        };
        let step = Step {
            expected_version: Some(first.sequence as u64 - 1),
            ..Step::new(self.stream::<A>(&first.aggregate_id), append)
        };
        let command = CommandRequest::new(CommandId::fresh(), "system:cqrs-es", vec![step]);
        self.gateway.submit(command).await.map(drop).map_err(command_error)
    }

    async fn stream_events<A: Aggregate>(
        &self,
        aggregate_id: &str,
    ) -> Result<ReplayStream, PersistenceError> {
        let (mut feed, stream) = ReplayStream::new(REPLAY_QUEUE);
        let (this, of) = (self.clone(), self.stream::<A>(aggregate_id));
        tokio::spawn(async move {
            let events = this.events_after(&of, 0).await;
            match events {
                Ok(events) => {
                    for event in events {
                        if feed.push(Ok(event)).await.is_err() {
                            // The reader has left.
                            return;
                        }
                    }
                }
                Err(error) => drop(feed.push(Err(error)).await),
            }
        });
        Ok(stream)
    }

    async fn stream_all_events<A: Aggregate>(&self) -> Result<ReplayStream, PersistenceError> {
        let (mut feed, stream) = ReplayStream::new(REPLAY_QUEUE);
        let this = self.clone();
        tokio::spawn(async move {
            if let Err(error) = this.replay_all(A::TYPE, &mut feed).await {
                // A reader that has left gets no error, and needs none.
                drop(feed.push(Err(error)).await);
            }
        });
        Ok(stream)
    }
}
