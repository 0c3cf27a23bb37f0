//! The heart of every consumer: events in, rows and checkpoints out.
//!
//! P7: a projection applies an event iff its position is the last one + 1; it drops what is not above the last one, and on a
//! gap the missing events come from the log. A *deterministic* failure, found by bisecting the batch, parks the event's
//! stream in that projection: this event and all later ones of the stream go to the dead letters, in order, while other
//! streams and other projections go on.

mod frames;
mod reconcile;

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::Timestamp;
use domain::ports::clock::Clock;
use domain::ports::feed::FeedEvent;
use domain::ports::log::{LogError, LogReader, StoreInfo};
use domain::ports::walk::Walk;
use domain::position::{Arrival, Position, Seen, Shard};
use domain::stream::StreamId;
use tokio::runtime::{Handle, RuntimeFlavor};

use self::frames::Frames;
use crate::engine::mark::{Generation, Mark};
use crate::engine::model::Projection;
use crate::engine::store::{Batch, DeadLetter, Loaded, Part, RowStore, StoreError, Visibility};

/// The window in which parked streams are counted.
const PARKING_WINDOW: Duration = Duration::from_secs(60);
/// From so many events on, mapping them takes long enough to be in other tasks' way.
const MANY: usize = 64;
/// How much of the log is read at once to fill a gap.
const GAP_FRAMES: usize = 256;
const GAP_BYTES: usize = 1 << 20;

/// Bounds of an applier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most events in one transaction.
    pub batch_events: usize,
    /// More streams than these, parked within a minute, stop the projection.
    pub parked_streams_per_minute: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { batch_events: 2_000, parked_streams_per_minute: 100 }
    }
}

/// Why events were not applied; what was applied before stays applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The store's error; never [`StoreError::Refused`], which parks a stream.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log can't fill a gap.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// One projection on its way through the log.
pub struct Lane {
    projection: Arc<dyn Projection>,
    /// Which making of its rows it goes by.
    generation: Generation,
    seen: Seen,
    /// From which version on a stream's events are parked.
    parked: HashMap<StreamId, u64>,
    letters: u64,
    /// When streams were parked, oldest first, within the window.
    recently: VecDeque<Instant>,
    stopped: Option<Stopped>,
    /// Why the live rows are others' to write.
    foreign: Option<String>,
}

/// Why and since when a projection applies nothing any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// For people.
    pub reason: String,
    /// The instant.
    pub since: Timestamp,
}

impl Lane {
    /// The projection.
    #[must_use]
    pub fn projection(&self) -> &Arc<dyn Projection> {
        &self.projection
    }

    /// The positions applied.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The positions applied, and by which rows.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { generation: self.generation.clone(), seen: self.seen.clone() }
    }

    /// How many streams are parked.
    #[must_use]
    pub fn parked_streams(&self) -> u64 {
        self.parked.len() as u64
    }

    /// How many events are parked.
    #[must_use]
    pub fn parked_events(&self) -> u64 {
        self.letters
    }

    /// Why it applies nothing any more.
    #[must_use]
    pub fn stopped(&self) -> Option<&Stopped> {
        self.stopped.as_ref()
    }

    /// Why it leaves the live rows to programs of another version; it may go on later.
    #[must_use]
    pub fn foreign(&self) -> Option<&str> {
        self.foreign.as_deref()
    }

    fn is_at_work(&self) -> bool {
        self.stopped.is_none() && self.foreign.is_none()
    }

    fn take(&mut self, loaded: Loaded) {
        self.generation = loaded.generation;
        self.seen = loaded.seen;
        self.parked = loaded.parked.into_iter().collect();
        self.letters = loaded.letters;
        if self.foreign != loaded.foreign {
            match &loaded.foreign {
                Some(reason) => {
                    tracing::warn!(projection = self.projection.name(), reason, "applies nothing")
                }
                None => tracing::info!(projection = self.projection.name(), "goes on with its own rows"),
            }
            self.foreign = loaded.foreign;
        }
    }
}

/// Applies events to several projections whose rows share transactions.
pub struct Applier {
    store: Arc<dyn RowStore>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    shards: u16,
    lanes: Vec<Lane>,
}

/// What one transaction would do, and what it means for the lanes once it has happened.
struct BatchPlan {
    batch: Batch,
    outcomes: Vec<Outcome>,
}

struct Outcome {
    lane: usize,
    seen: Seen,
    parked: HashMap<StreamId, u64>,
    letters: u64,
}

impl Applier {
    /// Prepares the store for the projections and loads where each one stands.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(
        store: Arc<dyn RowStore>,
        projections: &[Arc<dyn Projection>],
        log: StoreInfo,
        clock: Arc<dyn Clock>,
        limits: Limits,
    ) -> Result<Self, StoreError> {
        let shards = log.shards;
        store.prepare(projections, log).await?;
        let lanes = projections
            .iter()
            .map(|projection| Lane {
                projection: Arc::clone(projection),
                generation: Generation::none(),
                seen: Seen::none(shards),
                parked: HashMap::new(),
                letters: 0,
                recently: VecDeque::new(),
                stopped: None,
                foreign: None,
            })
            .collect();
        let mut applier = Self { store, clock, limits, shards, lanes };
        applier.reload().await?;
        Ok(applier)
    }

    /// Loads again where each projection stands: after an error, and after another consumer moved on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn reload(&mut self) -> Result<(), StoreError> {
        for lane in &mut self.lanes {
            let loaded = self.store.load(lane.projection.name()).await?;
            lane.take(loaded);
        }
        Ok(())
    }

    /// Whether a projection leaves its rows to others.
    #[must_use]
    pub fn has_foreign(&self) -> bool {
        self.lanes.iter().any(|lane| lane.foreign.is_some())
    }

    /// Looks again at the projections that leave their rows to others; whether one goes on from here.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn look_again(&mut self) -> Result<bool, StoreError> {
        let mut goes_on = false;
        for lane in self.lanes.iter_mut().filter(|lane| lane.foreign.is_some()) {
            let loaded = self.store.load(lane.projection.name()).await?;
            goes_on |= loaded.foreign.is_none();
            lane.take(loaded);
        }
        Ok(goes_on)
    }

    /// The projections.
    #[must_use]
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// The positions that every projection at work has seen; none is at work: the ones that all have seen.
    #[must_use]
    pub fn low(&self) -> Seen {
        let idle = self.is_idle();
        let mut low = Seen::none(self.shards);
        for shard in (0..self.shards).map(Shard) {
            let lanes = self.lanes.iter().filter(|lane| idle || lane.is_at_work());
            low.advance(Position { shard, n: lanes.map(|lane| lane.seen.last(shard)).min().unwrap_or(0) });
        }
        low
    }

    /// Whether no projection is at work.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.lanes.iter().any(Lane::is_at_work)
    }

    /// Applies events, in order within each shard; they may repeat and have gaps.
    ///
    /// # Errors
    /// [`ApplyError`]: [`reload`](Self::reload), then apply the same events again.
    pub async fn apply<E: Clone + Into<FeedEvent>>(
        &mut self,
        events: &[E],
        log: &dyn LogReader,
    ) -> Result<Visibility, ApplyError> {
        if self.is_idle() {
            return Ok(Visibility::Stored);
        }
        let mut next = self.low();
        let mut chunk: Vec<FeedEvent> = Vec::with_capacity(events.len().min(self.limits.batch_events));
        let mut visibility = Visibility::Stored;
        for event in events {
            let event: FeedEvent = event.clone().into();
            match next.arrival(event.position) {
                Arrival::Repeat => continue,
                Arrival::Next => {}
                Arrival::Gap { last } => {
                    let missing = Gap { shard: event.position.shard, last, end: event.position.n };
                    visibility = visibility.max(self.fill(missing, &mut chunk, log).await?);
                }
            }
            next.advance(event.position);
            chunk.push(event);
            if chunk.len() >= self.limits.batch_events {
                visibility = visibility.max(self.commit(&chunk, log).await?);
                chunk.clear();
            }
        }
        Ok(visibility.max(self.commit(&chunk, log).await?))
    }

    /// Puts the missing events into the chunk, page by page.
    async fn fill(
        &mut self,
        gap: Gap,
        chunk: &mut Vec<FeedEvent>,
        log: &dyn LogReader,
    ) -> Result<Visibility, ApplyError> {
        let mut visibility = Visibility::Stored;
        let mut last = gap.last;
        let walk = Walk::from_position(log, Position { shard: gap.shard, n: last + 1 }).await?;
        let mut walk = walk.by(GAP_FRAMES, GAP_BYTES);
        while last + 1 < gap.end {
            let page = walk.page().await?;
            if page.is_empty() {
                let at = Position { shard: gap.shard, n: last + 1 };
                return Err(LogError::Unavailable(format!(
                    "the feed is ahead of the log, which has no {at} yet"
                ))
                .into());
            }
            for decided in &page {
                for event in FeedEvent::all_of(decided) {
                    if event.position.n == last + 1 && event.position.n < gap.end {
                        last = event.position.n;
                        chunk.push(event);
                    }
                }
                if chunk.len() >= self.limits.batch_events {
                    visibility = visibility.max(self.commit(chunk, log).await?);
                    chunk.clear();
                }
            }
        }
        Ok(visibility)
    }

    /// Applies contiguous events; bisects what the store refuses.
    async fn commit(&mut self, events: &[FeedEvent], log: &dyn LogReader) -> Result<Visibility, ApplyError> {
        let mut visibility = Visibility::Stored;
        let mut work: Vec<(Range<usize>, Option<usize>)> = vec![(0..events.len(), None)];
        while let Some((range, only)) = work.pop() {
            match self.attempt(&events[range.clone()], only, None, log).await {
                Ok(applied) => visibility = visibility.max(applied),
                Err(ApplyError::Store(StoreError::Refused(reason))) => match only {
                    // The other projections shall not wait for the one at fault.
                    None => work.extend((0..self.lanes.len()).rev().map(|lane| (range.clone(), Some(lane)))),
                    Some(lane) if range.len() == 1 => {
                        let parked = self.attempt(&events[range], Some(lane), Some(&reason), log).await;
                        visibility = visibility.max(parked.map_err(|e| match e {
                            ApplyError::Store(StoreError::Refused(why)) => {
                                StoreError::Unavailable(format!("no letter can be kept: {why}")).into()
                            }
                            other => other,
                        })?);
                    }
                    lane => {
                        let middle = range.start + range.len() / 2;
                        work.push((middle..range.end, lane));
                        work.push((range.start..middle, lane));
                    }
                },
                Err(error) => return Err(error),
            }
        }
        Ok(visibility)
    }

    async fn attempt(
        &mut self,
        events: &[FeedEvent],
        only: Option<usize>,
        refused: Option<&str>,
        log: &dyn LogReader,
    ) -> Result<Visibility, ApplyError> {
        let plan = self.plan(events, only, refused, log).await?;
        if plan.batch.parts.is_empty() {
            return Ok(Visibility::Stored);
        }
        let visibility = self.store.apply(plan.batch).await?;
        let now = Instant::now();
        for outcome in plan.outcomes {
            let lane = &mut self.lanes[outcome.lane];
            lane.seen = outcome.seen;
            lane.letters += outcome.letters;
            lane.recently.extend(outcome.parked.iter().map(|_| now));
            lane.parked.extend(outcome.parked);
        }
        Ok(visibility)
    }

    /// Maps the events for the lanes; with `refused`, the (single) event is parked instead.
    async fn plan(
        &mut self,
        events: &[FeedEvent],
        only: Option<usize>,
        refused: Option<&str>,
        log: &dyn LogReader,
    ) -> Result<BatchPlan, ApplyError> {
        let mut frames = Frames::new(events, log);
        let mut plan = BatchPlan { batch: Batch::default(), outcomes: Vec::new() };
        let parked_at = domain::whole_micros(self.clock.now());
        let map = || {
            let asked =
                |(index, lane): &(usize, &Lane)| lane.is_at_work() && only.is_none_or(|o| o == *index);
            let lanes = self.lanes.iter().enumerate().filter(asked);
            lanes
                .map(|(index, lane)| lane.map(index, events, refused, parked_at))
                .collect::<Result<Vec<_>, _>>()
        };
        let mapped = if events.len() < MANY { map() } else { at_length(map) }?;
        for (mut part, outcome) in mapped {
            let lane = &mut self.lanes[outcome.lane];
            if lane.must_stop(outcome.parked.len(), self.limits.parked_streams_per_minute, parked_at) {
                continue;
            }
            part.moves = frames.moves(&lane.seen, &outcome.seen).await?;
            if !part.moves.is_empty() {
                plan.batch.parts.push(part);
                plan.outcomes.push(outcome);
            }
        }
        Ok(plan)
    }
}

impl Lane {
    /// What the events come to here, but for the checkpoint's moves; with `refused`, the (single) event is parked instead.
    fn map(
        &self,
        index: usize,
        events: &[FeedEvent],
        refused: Option<&str>,
        parked_at: Timestamp,
    ) -> Result<(Part, Outcome), StoreError> {
        let mut part =
            Part { projection: self.projection.name(), moves: vec![], changes: vec![], letters: vec![] };
        let mut outcome =
            Outcome { lane: index, seen: self.seen.clone(), parked: HashMap::new(), letters: 0 };
        for event in events {
            match outcome.seen.arrival(event.position) {
                Arrival::Repeat => continue,
                Arrival::Next => outcome.seen.advance(event.position),
                // Events are contiguous from the lowest lane on, so only a checkpoint that went back can do this.
                Arrival::Gap { .. } => return Err(StoreError::Moved(part.projection.to_owned())),
            }
            // An event before the first parked one comes again when a checkpoint was lost; it is applied again.
            let first = self.parked.get(&event.stream).or_else(|| outcome.parked.get(&event.stream)).copied();
            let first = first.filter(|version| *version <= event.version);
            let follows = first.is_some_and(|version| version < event.version);
            let reason = match (first, refused) {
                (Some(_), _) => "an earlier event of the stream is parked".to_owned(),
                (None, Some(reason)) => reason.to_owned(),
                (None, None) => match self.projection.map(&event.event) {
                    Ok(changes) => {
                        part.changes.extend(changes);
                        continue;
                    }
                    Err(error) => error.to_string(),
                },
            };
            if first.is_none() {
                tracing::error!(projection = part.projection, stream = %event.stream, position = %event.position,
                    reason, "parked the stream");
                outcome.parked.insert(event.stream.clone(), event.version);
            }
            part.letters.push(DeadLetter { event: Arc::clone(&event.event), reason, parked_at, follows });
        }
        outcome.letters = part.letters.len() as u64;
        Ok((part, outcome))
    }

    /// Counts `more` parked streams; stops the lane when that is more than a minute may bring.
    fn must_stop(&mut self, more: usize, limit: usize, now: Timestamp) -> bool {
        if more == 0 {
            return false;
        }
        while self.recently.front().is_some_and(|at| at.elapsed() > PARKING_WINDOW) {
            self.recently.pop_front();
        }
        if self.recently.len() + more <= limit {
            return false;
        }
        let reason = format!(
            "stopped: more than {limit} streams failed within a minute, so the projection itself must be at fault; \
             correct it and start again"
        );
        tracing::error!(projection = self.projection.name(), reason, "projection stopped");
        self.stopped = Some(Stopped { reason, since: now });
        true
    }
}

/// Runs what takes a processor for some time. Other tasks go on meanwhile, and it isn't behind them at every turn: under load that would leave the
/// read side the time that nobody else wants.
fn at_length<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Events missing between `last` and `end`, both exclusive.
struct Gap {
    shard: Shard,
    last: u64,
    end: u64,
}
