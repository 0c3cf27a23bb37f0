//! The runner: one task that keeps a group of projections, which share a store, in step with the feed.

mod others;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::Timestamp;
use domain::pauses::Pauses;
use domain::ports::clock::Clock;
use domain::ports::feed::{Feed, FeedEvent, FeedReader};
use domain::ports::log::{LogError, LogReader};
use domain::position::{Seen, Shard};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::engine::applier::{Applier, ApplyError, Limits, Stopped};
use crate::engine::lag::{ahead, behind, told};
use crate::engine::model::Projection;
use crate::engine::redrive::{RedriveReport, redrive};
use crate::engine::status::{ProjectionStatus, State};
use crate::engine::store::{RowStore, StoreError, Visibility};
use crate::engine::watermark::Watermark;

/// Before failing storage is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// How a runner paces itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunnerConfig {
    /// Bounds of a transaction, and of failures.
    pub limits: Limits,
    /// The rest after a batch that isn't full, unless a query waits: where a batch costs much however small it is, fewer do more.
    pub apply_every: Duration,
    /// The longest time that something applied stays invisible when no query waits for it.
    pub publish_every: Duration,
    /// The longest time that a checkpoint with nothing to show stays unstored.
    pub checkpoint_every: Duration,
    /// The longest pause between retries of failing storage.
    pub max_backoff: Duration,
}

impl Default for RunnerConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            apply_every: Duration::ZERO,
            publish_every: Duration::from_millis(250),
            checkpoint_every: Duration::from_secs(5),
            max_backoff: Duration::from_secs(1),
        }
    }
}

/// What a runner works with.
pub struct RunnerParts {
    /// Names the runner to the feed.
    pub group: &'static str,
    /// Where rows and checkpoints are.
    pub store: Arc<dyn RowStore>,
    /// The projections of the group.
    pub projections: Vec<Arc<dyn Projection>>,
    /// Where events come from.
    pub feed: Arc<dyn Feed>,
    /// Where missing events come from.
    pub log: Arc<dyn LogReader>,
    /// Tells the time of parking, and the lag.
    pub clock: Arc<dyn Clock>,
    /// Pace.
    pub config: RunnerConfig,
    /// Stops it, after what was applied is published.
    pub shutdown: CancellationToken,
}

/// A running group of projections.
pub struct Runner {
    watermarks: Vec<Watermark>,
    shared: Arc<RunnerShared>,
    requests: mpsc::Sender<Request>,
    task: Mutex<Option<JoinHandle<()>>>,
    ended: AbortHandle,
    rest: Duration,
}

struct Request {
    projection: String,
    reply: oneshot::Sender<Result<RedriveReport, RedriveError>>,
}

/// Why a redrive didn't finish.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedriveError {
    /// This runner has no such projection.
    #[error("there is no projection {0}")]
    UnknownProjection(String),
    /// Storage failed: what was applied stays applied; repeat.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The runner has stopped.
    #[error("the projections are shutting down")]
    ShuttingDown,
}

/// What the task tells, and [`Runner::status`] reads.
struct RunnerShared {
    feed: Arc<dyn Feed>,
    clock: Arc<dyn Clock>,
    report: Mutex<Report>,
}

#[derive(Default)]
struct Report {
    lanes: Vec<LaneReport>,
    failure: Option<String>,
    /// The time of the oldest event received and not yet applied.
    pending_since: Option<Timestamp>,
}

struct LaneReport {
    name: &'static str,
    version: u32,
    seen: Seen,
    stopped: Option<Stopped>,
    foreign: Option<String>,
    parked_streams: u64,
    parked_events: u64,
}

impl Runner {
    /// Prepares the store, has what the log doesn't hold built anew, and starts the task.
    ///
    /// # Errors
    /// [`ApplyError`] when the store can't be prepared or compared with the log.
    pub async fn start(parts: RunnerParts) -> Result<Self, ApplyError> {
        let mut applier = Applier::open(
            Arc::clone(&parts.store),
            &parts.projections,
            parts.log.store(),
            Arc::clone(&parts.clock),
            parts.config.limits,
        )
        .await?;
        applier.reconcile(parts.log.as_ref()).await?;
        // What the store holds but hasn't published yet is applied again or published before anybody sees it.
        parts.store.publish().await?;
        let wanted = Arc::new(Notify::new());
        let watermarks: Vec<Watermark> = applier
            .lanes()
            .iter()
            .map(|lane| Watermark::new(lane.projection().name(), lane.mark(), Arc::clone(&wanted)))
            .collect();
        let shared = Arc::new(RunnerShared {
            feed: Arc::clone(&parts.feed),
            clock: Arc::clone(&parts.clock),
            report: Mutex::default(),
        });
        let (requests, inbox) = mpsc::channel(8);
        let rest = parts.config.apply_every;
        let work = RunnerTask {
            pauses: Pauses::new(FIRST_PAUSE, parts.config.max_backoff),
            parts,
            applier,
            watermarks: watermarks.clone(),
            wanted,
            shared: Arc::clone(&shared),
            due: None,
            rest_until: None,
            look_again_at: Instant::now() + others::LOOK_AGAIN,
            pending_since: None,
        };
        work.report(None, None);
        let task = tokio::spawn(work.run(inbox));
        let ended = task.abort_handle();
        Ok(Self { watermarks, shared, requests, task: Mutex::new(Some(task)), ended, rest })
    }

    /// The last position of a shard that every projection at work has applied, whether queries see it yet or not. `None` when none is at work,
    /// and while storage fails.
    #[must_use]
    pub fn applied(&self, shard: Shard) -> Option<u64> {
        let report = self.shared.report.lock().unwrap_or_else(PoisonError::into_inner);
        if report.failure.is_some() || self.ended.is_finished() {
            return None;
        }
        let at_work = report.lanes.iter().filter(|lane| lane.stopped.is_none() && lane.foreign.is_none());
        at_work.map(|lane| lane.seen.last(shard)).min()
    }

    /// See [`RunnerConfig::apply_every`].
    #[must_use]
    pub fn rest(&self) -> Duration {
        self.rest
    }

    /// The watermark of a projection of this group.
    #[must_use]
    pub fn watermark(&self, projection: &str) -> Option<Watermark> {
        self.watermarks.iter().find(|mark| mark.projection() == projection).cloned()
    }

    /// The watermarks of the group.
    #[must_use]
    pub fn watermarks(&self) -> &[Watermark] {
        &self.watermarks
    }

    /// The projections' status.
    #[must_use]
    pub fn status(&self) -> Vec<ProjectionStatus> {
        let heads = self.shared.feed.heads();
        let now = self.shared.clock.now();
        let report = self.shared.report.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |since: Option<Timestamp>| {
            since.map_or(0.0, |at| (now - at).num_microseconds().unwrap_or(i64::MAX).max(0) as f64 / 1e6)
        };
        report
            .lanes
            .iter()
            .map(|lane| {
                let lag_events = told(behind(&heads, &lane.seen), ahead(&heads, &lane.seen));
                let state = match (&lane.stopped, &lane.foreign, &report.failure) {
                    // On shutdown, or by a panic, which nobody else would tell of.
                    _ if self.ended.is_finished() => {
                        State::Stopped { reason: "the task has ended".to_owned() }
                    }
                    (Some(stopped), ..) => State::Stopped { reason: stopped.reason.clone() },
                    (None, Some(reason), _) => State::Waiting { reason: reason.clone() },
                    (None, None, Some(reason)) => State::Retrying { reason: reason.clone() },
                    (None, None, None) => State::Running,
                };
                ProjectionStatus {
                    name: lane.name,
                    version: lane.version,
                    state,
                    seen: lane.seen.positions().collect(),
                    lag_events,
                    lag_seconds: match &lane.stopped {
                        _ if lag_events == 0 => 0.0,
                        Some(stopped) => age(Some(stopped.since)),
                        None => age(report.pending_since),
                    },
                    parked_streams: lane.parked_streams,
                    parked_events: lane.parked_events,
                }
            })
            .collect()
    }

    /// Applies the parked events of a projection, between two batches of new ones.
    ///
    /// # Errors
    /// [`RedriveError`].
    pub async fn redrive(&self, projection: &str) -> Result<RedriveReport, RedriveError> {
        let (reply, answer) = oneshot::channel();
        let request = Request { projection: projection.to_owned(), reply };
        self.requests.send(request).await.map_err(|_| RedriveError::ShuttingDown)?;
        answer.await.map_err(|_| RedriveError::ShuttingDown)?
    }

    /// Waits until the task has ended, which it does on shutdown.
    pub async fn stopped(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the projections' task failed");
        }
    }
}

struct RunnerTask {
    parts: RunnerParts,
    applier: Applier,
    watermarks: Vec<Watermark>,
    wanted: Arc<Notify>,
    shared: Arc<RunnerShared>,
    /// When the store must publish, and whether queries would see more then.
    due: Option<Due>,
    /// When the next batch is taken, unless a query waits.
    rest_until: Option<Instant>,
    /// When to look again whether rows of another version were replaced.
    look_again_at: Instant,
    pauses: Pauses,
    /// The time of the oldest event received and not yet applied.
    pending_since: Option<Timestamp>,
}

#[derive(Clone, Copy)]
struct Due {
    at: Instant,
    visibility: Visibility,
}

/// What woke the task.
enum Wake {
    Stop,
    Publish,
    Request(Request),
    Events(Vec<FeedEvent>),
    FeedFailed(LogError),
    /// The rest is over, or a query waits.
    Rested,
    /// Rows of another version may have been replaced by then.
    LookAgain,
    /// Something of what the store held is gone.
    StoreLost,
}

impl RunnerTask {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        while let Some(mut reader) = self.subscribe(&mut inbox).await {
            loop {
                match self.next(reader.as_mut(), &mut inbox).await {
                    Wake::Stop => return self.finish().await,
                    Wake::Request(request) => self.answer(request).await,
                    Wake::Publish => match self.publish().await {
                        Ok(()) => {}
                        Err(error) => break self.failed(&error.into()).await,
                    },
                    Wake::Events(events) => match self.take(&events).await {
                        Ok(()) => self.pauses.reset(),
                        Err(error) => break self.failed(&error).await,
                    },
                    // A part of the log can't be read. The reader stays usable: it brings what else there is, and tries again.
                    Wake::FeedFailed(error @ LogError::Corrupt(..)) => {
                        tracing::error!(group = self.parts.group, %error, "the feed can't go on in a part of the log");
                        self.report(Some(error.to_string()), self.pending_since);
                        // It mustn't hold up the rest for long.
                        self.pauses.reset();
                        if self.pause().await {
                            return self.finish().await;
                        }
                    }
                    Wake::FeedFailed(error) => break self.failed(&error.into()).await,
                    Wake::Rested => {}
                    Wake::LookAgain => match self.look_again().await {
                        // From where that projection stands.
                        Ok(true) => break,
                        Ok(false) => {}
                        Err(error) => break self.failed(&error.into()).await,
                    },
                    Wake::StoreLost => {
                        let lost = StoreError::Unavailable("what was stored is gone".to_owned());
                        break self.failed(&lost.into()).await;
                    }
                }
            }
        }
        self.finish().await;
    }

    async fn finish(&mut self) {
        if self.due.is_some()
            && let Err(error) = self.publish().await
        {
            tracing::warn!(group = self.parts.group, %error, "the last events are to be applied again after the restart");
        }
    }

    /// Lets storage recover; true when the shutdown came first.
    async fn pause(&mut self) -> bool {
        let pause = tokio::time::sleep(self.pauses.further());
        self.parts.shutdown.run_until_cancelled(pause).await.is_none()
    }

    /// Pauses, and loads where the store stands: what was applied but not published may be gone. The feed is then read from
    /// there again.
    async fn failed(&mut self, error: &ApplyError) {
        if let ApplyError::Store(StoreError::Moved(projection)) = error {
            tracing::info!(projection, "another consumer moved the checkpoint");
        } else {
            tracing::warn!(group = self.parts.group, %error, "can't apply events yet");
        }
        let mut reason = error.to_string();
        loop {
            self.due = None;
            self.report(Some(reason), self.pending_since);
            if self.pause().await {
                return;
            }
            match self.applier.reload().await {
                Ok(()) => {
                    // The failed call may have done its work all the same, and perhaps no event follows that would show it.
                    return self.looked();
                }
                Err(error) => reason = error.to_string(),
            }
        }
    }

    /// A reader from where the projections stand; `None` on shutdown.
    async fn subscribe(&mut self, inbox: &mut mpsc::Receiver<Request>) -> Option<Box<dyn FeedReader>> {
        self.stand_by(inbox).await;
        while !self.parts.shutdown.is_cancelled() {
            match self.parts.feed.subscribe(self.parts.group, &self.applier.low()).await {
                Ok(reader) => return Some(reader),
                Err(error) => self.failed(&error.into()).await,
            }
        }
        None
    }

    async fn next(&mut self, reader: &mut dyn FeedReader, inbox: &mut mpsc::Receiver<Request>) -> Wake {
        if self.is_awaited() || self.rest_until.is_some_and(|until| until <= Instant::now()) {
            self.rest_until = None;
        }
        tokio::select! {
            biased;
            () = self.parts.shutdown.cancelled() => Wake::Stop,
            () = self.publish_due() => Wake::Publish,
            Some(request) = inbox.recv() => Wake::Request(request),
            () = sleep_until(self.look_again_at), if self.applier.has_foreign() => Wake::LookAgain,
            () = self.rest(), if self.rest_until.is_some() => Wake::Rested,
            events = reader.next(), if self.rest_until.is_none() => match events {
                Ok(events) => Wake::Events(events),
                Err(error) => Wake::FeedFailed(error),
            },
            () = self.parts.store.lost() => Wake::StoreLost,
        }
    }

    async fn publish_due(&self) {
        let Some(due) = self.due else { return std::future::pending().await };
        if due.visibility == Visibility::Pending {
            if self.is_awaited() {
                return;
            }
            tokio::select! {
                () = self.wanted.notified() => {}
                () = sleep_until(due.at) => {}
            }
        } else {
            sleep_until(due.at).await;
        }
    }

    fn is_awaited(&self) -> bool {
        self.watermarks.iter().any(Watermark::is_awaited)
    }

    async fn rest(&self) {
        let Some(until) = self.rest_until else { return };
        tokio::select! {
            () = self.wanted.notified() => {}
            () = sleep_until(until) => {}
        }
    }

    async fn take(&mut self, events: &[FeedEvent]) -> Result<(), ApplyError> {
        self.pending_since = events.iter().map(|e| e.time).min();
        self.report_pending();
        let visibility = self.applier.apply(events, self.parts.log.as_ref()).await?;
        self.pending_since = None;
        let every = self.parts.config.apply_every;
        let small = events.len() < self.parts.config.limits.batch_events;
        self.rest_until = (small && !every.is_zero()).then(|| Instant::now() + every);
        self.applied(visibility);
        Ok(())
    }

    fn applied(&mut self, visibility: Visibility) {
        let config = &self.parts.config;
        let wait = match visibility {
            Visibility::Stored => None,
            Visibility::Visible => Some(config.checkpoint_every),
            Visibility::Pending => Some(config.publish_every),
        };
        if visibility != Visibility::Pending {
            self.show();
        }
        if let Some(wait) = wait {
            let fresh = Due { at: Instant::now() + wait, visibility };
            let due = self.due.get_or_insert(fresh);
            due.at = due.at.min(fresh.at);
            due.visibility = due.visibility.max(visibility);
        }
        self.report(None, None);
    }

    async fn publish(&mut self) -> Result<(), StoreError> {
        self.parts.store.publish().await?;
        self.due = None;
        self.show();
        self.report(None, None);
        Ok(())
    }

    fn show(&self) {
        for (mark, lane) in self.watermarks.iter().zip(self.applier.lanes()) {
            mark.set(&lane.mark());
        }
    }

    async fn redrive(&mut self, name: &str) -> Result<RedriveReport, RedriveError> {
        let lane = self.applier.lanes().iter().find(|lane| lane.projection().name() == name);
        let Some(projection) = lane.map(|lane| Arc::clone(lane.projection())) else {
            return Err(RedriveError::UnknownProjection(name.to_owned()));
        };
        let report = redrive(self.parts.store.as_ref(), projection.as_ref()).await;
        self.applier.reload().await?;
        self.limit();
        self.report(None, None);
        Ok(report?)
    }

    fn report_pending(&self) {
        self.shared.report.lock().unwrap_or_else(PoisonError::into_inner).pending_since = self.pending_since;
    }

    fn report(&self, failure: Option<String>, pending_since: Option<Timestamp>) {
        let lanes = self.applier.lanes().iter().map(|lane| LaneReport {
            name: lane.projection().name(),
            version: lane.projection().version(),
            seen: lane.seen().clone(),
            stopped: lane.stopped().cloned(),
            foreign: lane.foreign().map(str::to_owned),
            parked_streams: lane.parked_streams(),
            parked_events: lane.parked_events(),
        });
        let report = Report { lanes: lanes.collect(), failure, pending_since };
        *self.shared.report.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }
}
