//! The worker: carries out the open work of the saga read model.
//!
//! Any number of workers may run, and any of them may die at any point: a piece of work stays open until an event closes it,
//! and doing it again is harmless, since every command has an id derived from the work and every call outside a key that was
//! persisted before.

mod backoff;
mod perform;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use domain::Timestamp;
use domain::ports::clock::Clock;
use domain::ports::gateway::CommandGateway;
use domain::position::{Position, Seen};
use projections::mark::Mark;
use tokio::sync::{Semaphore, watch};
use tokio::task::{self, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{FulfilmentConfig, WorkerConfig};
use crate::fulfilment::action::Lane;
use crate::ports::{Carrier, PaymentProvider};
use crate::work::{Decided, Due, SagaWork, WorkError, WorkItem};
use backoff::Backoff;
pub use perform::Retry;

/// What the worker works with.
#[derive(Clone)]
pub struct Worker {
    /// The way to the owners of the shards.
    pub gateway: Arc<dyn CommandGateway>,
    /// The payment provider.
    pub payments: Arc<dyn PaymentProvider>,
    /// The carrier.
    pub carrier: Arc<dyn Carrier>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// How order fulfilment deals with time.
    pub fulfilment: FulfilmentConfig,
    /// How much is done at once, and how failures are repeated.
    pub config: WorkerConfig,
}

/// Which piece of work, in which tenant.
type WorkKey = (String, String);

fn key(item: &WorkItem) -> WorkKey {
    (item.tenant.clone(), item.id.clone())
}

/// The room that is left in a lane.
struct Room {
    lane: Lane,
    size: usize,
    free: Arc<Semaphore>,
}

impl Room {
    fn all(config: &WorkerConfig) -> [Self; 3] {
        Lane::ALL.map(|lane| {
            let size = match lane {
                Lane::Commands => config.commands,
                Lane::Payments => config.payment_calls,
                Lane::Carrier => config.carrier_calls,
            };
            let size = size.clamp(1, Semaphore::MAX_PERMITS);
            Self { lane, size, free: Arc::new(Semaphore::new(size)) }
        })
    }
}

/// A finished attempt at a piece of work.
type Finished = Result<(task::Id, Result<Position, Retry>), task::JoinError>;

/// What one worker remembers between two looks at the queue. Nothing of it has to survive.
struct Round {
    worker: Arc<Worker>,
    work: Arc<dyn SagaWork>,
    rooms: [Room; 3],
    tasks: JoinSet<Result<Position, Retry>>,
    /// What each task works on.
    running: HashMap<task::Id, WorkKey>,
    busy: HashSet<WorkKey>,
    /// Done, but the read model may not show it before it has seen the position.
    done: HashMap<WorkKey, Position>,
    /// To be repeated.
    backoff: Backoff,
    /// Due work may have found no room.
    crowded: bool,
    /// The log.
    log: Arc<dyn Decided>,
    /// What was decided before the worker met the rows that it goes by now.
    decided: Seen,
    /// What the rows held that were read last.
    shown: Option<Mark>,
    /// How much of the open work couldn't be judged at the last look.
    unjudged: usize,
}

/// Carries out work until the token stops it. Wakes when the saga projection's watermark `seen` moves, when a deadline or a
/// repeat is due, and every [`WorkerConfig::poll`].
///
/// A read model that is filled anew shows work as open that was closed long ago, until it gets to the closing event. So what the log
/// holds when the worker meets a making of the rows bounds it: work waits until the rows hold that much of the closing event's
/// shard, for a provider may have forgotten the key of an old charge. Rows that have fallen back, as after a restore, count as
/// another making.
pub async fn run(
    worker: Worker,
    work: Arc<dyn SagaWork>,
    log: Arc<dyn Decided>,
    mut seen: watch::Receiver<Mark>,
    stop: CancellationToken,
) {
    let grace = worker.config.stop_grace;
    let mut round = Round {
        rooms: Room::all(&worker.config),
        backoff: Backoff::new(worker.config.retry_pause, worker.config.retry_pause_max),
        worker: Arc::new(worker),
        work,
        tasks: JoinSet::new(),
        running: HashMap::new(),
        busy: HashSet::new(),
        done: HashMap::new(),
        crowded: false,
        log,
        shown: None,
        decided: Seen::none(0),
        unjudged: 0,
    };
    'looking: loop {
        seen.mark_unchanged();
        let wake = round.look().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => break 'looking,
                changed = seen.changed() => {
                    if changed.is_err() {
                        // Whoever applies the projection has ended, so there will be no further work.
                        break 'looking;
                    }
                    break;
                }
                Some(finished) = round.tasks.join_next_with_id() => {
                    if round.note(finished) {
                        break;
                    }
                }
                () = tokio::time::sleep_until(wake) => break,
            }
        }
    }
    round.finish(grace).await;
}

impl Round {
    /// Starts what is due and has room; answers when to look again at the latest.
    async fn look(&mut self) -> Instant {
        let (now, looked) = (self.worker.clock.now(), Instant::now());
        self.crowded = false;
        let known = self.busy.len() + self.done.len() + self.backoff.len() + self.unjudged;
        self.unjudged = 0;
        let mut open = HashSet::new();
        for at in 0..self.rooms.len() {
            let (lane, size) = (self.rooms[at].lane, self.rooms[at].size);
            // What is known already may come first, and must not hide what is new.
            let limit = known + size;
            match self.due(lane, now, limit).await {
                Ok(items) => {
                    self.crowded |= items.len() == limit;
                    open.extend(items.iter().map(key));
                    items.into_iter().for_each(|item| self.start(at, item));
                }
                Err(error) => {
                    tracing::warn!(%error, "the work of the sagas can't be read; trying again");
                    return Instant::now() + self.worker.config.retry_pause_max;
                }
            }
        }
        if !self.crowded {
            // All that is due was seen; what isn't open any more was done by another worker.
            self.backoff.keep_only(&open);
        }
        let poll = Instant::now() + self.worker.config.poll;
        let repeat = self.backoff.next(looked).map_or(poll, |at| at.min(poll));
        match self.work.next_due(now).await {
            Ok(None) => repeat,
            Ok(Some(due)) => repeat.min(Instant::now() + (due - now).to_std().unwrap_or(Duration::ZERO)),
            Err(error) => {
                tracing::warn!(%error, "the deadlines of the sagas can't be read; trying again");
                repeat
            }
        }
    }

    /// Reads due work, and settles what bounds it before anything of it is done.
    async fn due(&mut self, lane: Lane, now: Timestamp, limit: usize) -> Result<Vec<WorkItem>, WorkError> {
        let Due { mark, items } = self.work.due(lane, now, limit).await?;
        if !self.shown.as_ref().is_some_and(|shown| mark.continues(shown)) {
            // Read after the rows were: whatever they lack that was decided by then is below these heads.
            self.decided = self.log.decided().await?;
            if self.shown.is_some() {
                let generation = &mark.generation;
                tracing::warn!(%generation, "the work of the sagas was begun anew or has fallen back: it waits for what is decided");
            }
        }
        self.done.retain(|_, position| mark.seen.last(position.shard) < position.n);
        self.shown = Some(mark);
        Ok(items)
    }

    /// Whether the rows may yet come to an event that closes it, decided before the worker met them.
    fn may_be_closed(&self, item: &WorkItem) -> bool {
        let shards = u16::try_from(self.decided.positions().count()).unwrap_or(u16::MAX);
        let shard = item.closed_by().shard(shards);
        let shown = self.shown.as_ref().map_or(0, |shown| shown.seen.last(shard));
        shown < self.decided.last(shard)
    }

    fn start(&mut self, room: usize, item: WorkItem) {
        let key = key(&item);
        if self.busy.contains(&key) || self.done.contains_key(&key) || !self.backoff.is_due(&key) {
            return;
        }
        if self.may_be_closed(&item) {
            self.unjudged += 1;
            return;
        }
        let Ok(permit) = Arc::clone(&self.rooms[room].free).try_acquire_owned() else {
            self.crowded = true;
            return;
        };
        let tries = self.backoff.tries(&key);
        let worker = Arc::clone(&self.worker);
        let task = self.tasks.spawn(async move {
            let _permit = permit;
            worker.perform(&item, tries).await
        });
        self.running.insert(task.id(), key.clone());
        self.busy.insert(key);
    }

    /// Notes how an attempt ended; answers whether to look at the queue at once.
    fn note(&mut self, finished: Finished) -> bool {
        let (task, result) = match finished {
            Ok((task, result)) => (task, result),
            Err(error) => (error.id(), Err(Retry { reason: error.to_string(), needs_somebody: true })),
        };
        let Some(key) = self.running.remove(&task) else { return false };
        self.busy.remove(&key);
        match result {
            Ok(position) => {
                self.backoff.forget(&key);
                self.done.insert(key, position);
                self.crowded
            }
            Err(Retry { reason, needs_somebody }) => {
                let work = key.1.clone();
                let tries = self.backoff.failed(key);
                if needs_somebody {
                    tracing::error!(work, tries, reason, "work of a saga fails; somebody has to look");
                } else if tries > 3 {
                    tracing::warn!(work, tries, reason, "work of a saga fails; trying again");
                } else {
                    tracing::debug!(work, tries, reason, "work of a saga is repeated");
                }
                // The next look works out when to wake for it.
                true
            }
        }
    }

    /// Lets what is on its way come to an end.
    async fn finish(mut self, grace: Duration) {
        let rest = async {
            while let Some(finished) = self.tasks.join_next_with_id().await {
                self.note(finished);
            }
        };
        if tokio::time::timeout(grace, rest).await.is_err() {
            tracing::info!("work of sagas was cut off by the stop; it is repeated after the restart");
        }
    }
}
