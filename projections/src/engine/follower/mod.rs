//! Following projections that run in other processes: their stored checkpoints move this process's watermarks.

mod lag;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::pauses::Pauses;
use domain::position::Position;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::lag::{Lag, Lead};
use crate::engine::mark::Mark;
use crate::engine::model::Projection;
use crate::engine::status::{ProjectionStatus, State};
use crate::engine::store::StoreError;
use crate::engine::watermark::Watermark;

/// A read that takes longer is given up: a lost connection may say nothing for a long time.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Before failing storage is tried again.
const PAUSES: Pauses = Pauses::new(Duration::from_millis(10), Duration::from_secs(1));

/// When a follower reads the checkpoints although nothing told it that they changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// After this time when no query waits.
    pub idle: Duration,
    /// After this time while a query waits. Less than `idle` also means: at once when a query begins to wait.
    pub awaited: Duration,
}

/// Parked streams and events of a projection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parked {
    /// How many streams.
    pub streams: u64,
    /// How many events.
    pub events: u64,
}

/// How far queries on a projection can see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visible {
    /// Its name.
    pub projection: String,
    /// How far, and in which making of its rows. It may be lower than it was.
    pub mark: Mark,
    /// Why this program can't read the rows: they are of another version of the projection that lacks columns.
    pub unreadable: Option<String>,
}

impl Visible {
    /// Rows that this program can read.
    #[must_use]
    pub fn readable(projection: &str, mark: Mark) -> Self {
        Self { projection: projection.to_owned(), mark, unreadable: None }
    }
}

/// Where the checkpoints of running projections are stored.
#[async_trait]
pub trait Checkpoints: Send + Sync + 'static {
    /// How far queries of the store can see, by projection.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn visible(&self) -> Result<Vec<Visible>, StoreError>;

    /// The same while a query waits: a store that shows what was applied on demand does so first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn visible_now(&self) -> Result<Vec<Visible>, StoreError> {
        self.visible().await
    }

    /// Returns when the checkpoints may have changed since the last [`Self::visible`] began; never for a store that can't tell.
    /// Many changes may count as one. Cancel-safe.
    async fn changed(&self);

    /// When to read without having been told. What [`Self::changed`] can miss is found after this time.
    fn pace(&self) -> Pace {
        Pace { idle: Duration::from_secs(1), awaited: Duration::from_secs(1) }
    }

    /// What is parked, by projection; nothing for one without.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn parked(&self) -> Result<Vec<(String, Parked)>, StoreError> {
        Ok(Vec::new())
    }
}

/// One task that keeps watermarks in step with stored checkpoints: one read at a time, however many changes are told meanwhile.
pub struct Follower {
    source: Arc<dyn Checkpoints>,
    followed: Vec<Followed>,
    failure: Arc<Mutex<Option<String>>>,
    task: Mutex<Option<JoinHandle<()>>>,
    ended: AbortHandle,
}

struct Followed {
    version: u32,
    mark: Watermark,
    lag: Mutex<Lag>,
    unreadable: Arc<Mutex<Option<String>>>,
    lead: Mutex<Lead>,
}

impl Follower {
    /// Starts the task. The watermarks stand at nothing until the first read.
    #[must_use]
    pub fn start(
        source: Arc<dyn Checkpoints>,
        projections: &[Arc<dyn Projection>],
        shards: u16,
        shutdown: CancellationToken,
    ) -> Self {
        let wanted = Arc::new(Notify::new());
        let followed: Vec<Followed> = projections
            .iter()
            .map(|projection| Followed {
                version: projection.version(),
                mark: Watermark::new(projection.name(), Mark::none(shards), Arc::clone(&wanted)),
                lag: Mutex::default(),
                unreadable: Arc::default(),
                lead: Mutex::default(),
            })
            .collect();
        let failure = Arc::new(Mutex::new(None));
        let work = FollowerTask {
            source: Arc::clone(&source),
            marks: followed.iter().map(|one| (one.mark.clone(), Arc::clone(&one.unreadable))).collect(),
            wanted,
            failure: Arc::clone(&failure),
            shutdown,
        };
        let task = tokio::spawn(work.run());
        let ended = task.abort_handle();
        Self { source, followed, failure, task: Mutex::new(Some(task)), ended }
    }

    /// The watermark of a followed projection.
    #[must_use]
    pub fn watermark(&self, projection: &str) -> Option<Watermark> {
        self.watermarks().find(|mark| mark.projection() == projection)
    }

    /// The watermarks, in the order of the projections.
    pub fn watermarks(&self) -> impl Iterator<Item = Watermark> + '_ {
        self.followed.iter().map(|one| one.mark.clone())
    }

    /// The projections' status as far as their checkpoints tell it, against the log's heads. The lag in seconds is how long, as
    /// observed by the calls of this method, the oldest head has been known that isn't covered yet: it is at least that.
    pub async fn status(&self, heads: &[Position]) -> Vec<ProjectionStatus> {
        let parked = self.source.parked().await;
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let failure = failure.or_else(|| parked.as_ref().err().map(ToString::to_string));
        let parked = parked.unwrap_or_default();
        let state = match failure {
            _ if self.ended.is_finished() => State::Stopped { reason: "the task has ended".to_owned() },
            Some(reason) => State::Retrying { reason },
            None => State::Running,
        };
        let now = Instant::now();
        let status = |one: &Followed| {
            let (name, seen) = (one.mark.projection(), one.mark.seen());
            let parked = parked.iter().find(|(of, _)| of == name).map(|(_, parked)| *parked);
            let Parked { streams, events } = parked.unwrap_or_default();
            let ahead = one.lead.lock().unwrap_or_else(PoisonError::into_inner).observe(heads, &seen, now);
            let behind = one.lag.lock().unwrap_or_else(PoisonError::into_inner).observe(heads, &seen, now);
            ProjectionStatus {
                name,
                version: one.version,
                state: match one.unreadable.lock().unwrap_or_else(PoisonError::into_inner).clone() {
                    Some(reason) if state == State::Running => State::Waiting { reason },
                    _ => state.clone(),
                },
                seen: seen.positions().collect(),
                lag_events: crate::engine::lag::told(crate::engine::lag::behind(heads, &seen), ahead),
                lag_seconds: behind.as_secs_f64(),
                parked_streams: streams,
                parked_events: events,
            }
        };
        self.followed.iter().map(status).collect()
    }

    /// Waits until the task has ended, which it does on shutdown.
    pub async fn stopped(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "following the checkpoints failed");
        }
    }
}

struct FollowerTask {
    source: Arc<dyn Checkpoints>,
    /// And why the rows can't be read.
    marks: Vec<(Watermark, Arc<Mutex<Option<String>>>)>,
    wanted: Arc<Notify>,
    failure: Arc<Mutex<Option<String>>>,
    shutdown: CancellationToken,
}

impl FollowerTask {
    async fn run(self) {
        let mut pauses = PAUSES;
        let shutdown = self.shutdown.clone();
        loop {
            let read = tokio::select! {
                () = shutdown.cancelled() => return,
                read = tokio::time::timeout(ANSWER_WITHIN, self.read()) => read.unwrap_or_else(|_| {
                    Err(StoreError::Unavailable(format!("no answer within {ANSWER_WITHIN:?}")))
                }),
            };
            match read {
                Ok(()) => {
                    self.set_failure(None);
                    pauses.reset();
                    if self.rest().await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "can't read how far the projections are");
                    self.set_failure(Some(error.to_string()));
                    let pause = tokio::time::sleep(pauses.further());
                    if shutdown.run_until_cancelled(pause).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    fn is_awaited(&self) -> bool {
        self.marks.iter().any(|(mark, _)| mark.is_awaited())
    }

    async fn read(&self) -> Result<(), StoreError> {
        let visible = match self.is_awaited() {
            true => self.source.visible_now().await?,
            false => self.source.visible().await?,
        };
        for Visible { projection, mark, unreadable } in visible {
            if let Some((known, why)) = self.marks.iter().find(|(known, _)| known.projection() == projection)
            {
                known.set(&mark);
                *why.lock().unwrap_or_else(PoisonError::into_inner) = unreadable;
            }
        }
        Ok(())
    }

    /// Waits until the checkpoints are to be read again; true when the shutdown came first.
    async fn rest(&self) -> bool {
        let pace = self.source.pace();
        let pause = if self.is_awaited() { pace.awaited } else { pace.idle };
        tokio::select! {
            () = self.shutdown.cancelled() => true,
            () = self.source.changed() => false,
            () = self.wanted.notified(), if pace.awaited < pace.idle => false,
            () = tokio::time::sleep(pause) => false,
        }
    }

    fn set_failure(&self, failure: Option<String>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}
