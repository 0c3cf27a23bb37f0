//! Verifications as jobs of a process: one at a time, the last ones remembered until it ends.
//!
//! A job that was asked for begins with the first frame. So does a look at the latest result where the store is small; where it isn't,
//! a look goes on from where the last sound verification ended, so that it costs what was decided since.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::Timestamp;
use domain::pauses::Pauses;
use domain::ports::clock::Clock;
use domain::ports::log::{EventLog, LogError};
use domain::position::{Position, Shard};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::{Through, Verified, VerifyReport, verify};

/// Verifications that are remembered.
const REMEMBERED: usize = 64;
/// A store of so many events is verified from its first frame on whenever somebody looks.
const SMALL: u64 = 50_000;
/// Storage that can't be reached is asked so many times more, after pauses that double.
const RETRIES: u32 = 5;
const PAUSES: Pauses = Pauses::new(Duration::from_millis(200), Duration::MAX);

/// How a verification is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Under way.
    Running,
    /// It ended; what it found.
    Found(Arc<VerifyReport>),
    /// Storage couldn't be read; the reason.
    Failed(String),
}

/// A verification.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id.
    pub id: Uuid,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The last position verified of every shard, in order.
    pub through: Vec<Position>,
    /// How it is.
    pub outcome: Outcome,
}

/// Where a verification begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    First,
    WhereTheLastEnded,
}

#[derive(Default)]
struct State {
    /// Oldest first; the last one may be running.
    jobs: VecDeque<Job>,
    /// Where the last sound one ended.
    through: Option<Vec<Through>>,
}

struct VerificationShared {
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Grows with every job that ends.
    ended: watch::Sender<u64>,
    stop: CancellationToken,
    /// See [`SMALL`].
    small: u64,
}

/// The verifications of a process. Dropped, it ends the one that runs.
pub struct Verifications {
    shared: Arc<VerificationShared>,
    _stop: DropGuard,
}

impl Verifications {
    /// None yet.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, clock: Arc<dyn Clock>) -> Self {
        Self::with_small(log, clock, SMALL)
    }

    fn with_small(log: Arc<dyn EventLog>, clock: Arc<dyn Clock>, small: u64) -> Self {
        let stop = CancellationToken::new();
        let shared = VerificationShared {
            log,
            clock,
            state: Mutex::default(),
            ended: watch::Sender::new(0),
            stop: stop.clone(),
            small,
        };
        Self { shared: Arc::new(shared), _stop: stop.drop_guard() }
    }

    /// Starts one that begins with the first frame; the one that runs, if one does.
    #[must_use]
    pub fn start(&self) -> Uuid {
        self.shared.start(Begin::First)
    }

    /// One of the last ones.
    #[must_use]
    pub fn job(&self, id: Uuid) -> Option<Job> {
        self.shared.state().jobs.iter().find(|job| job.id == id).cloned()
    }

    /// A verification of all that is decided by now, if it ends in time; else the last one that ended. `None` when none has.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when storage can't be read.
    pub async fn latest(&self, within: Duration) -> Result<Option<Job>, LogError> {
        let deadline = Instant::now() + within;
        let asked_at = self.shared.clock.now();
        let mut ended = self.shared.ended.subscribe();
        let begin = self.begin().await?;
        loop {
            // One that began before may have missed what the caller has seen.
            let (known, runs) = {
                let state = self.shared.state();
                let job = state.jobs.iter().rev().find(|job| job.started_at >= asked_at).cloned();
                let runs = state.jobs.back().is_some_and(|job| job.outcome == Outcome::Running);
                (job, runs)
            };
            match known {
                Some(Job { outcome: Outcome::Failed(reason), .. }) => {
                    return Err(LogError::Unavailable(reason));
                }
                Some(job) if job.outcome != Outcome::Running => return Ok(Some(job)),
                None if !runs => _ = self.shared.start(begin),
                _ => {}
            }
            let wait = tokio::time::timeout_at(deadline, ended.changed());
            if !matches!(wait.await, Ok(Ok(()))) {
                return Ok(self.shared.last_found());
            }
        }
    }

    /// A small store is verified from its first frame on.
    async fn begin(&self) -> Result<Begin, LogError> {
        let log = &self.shared.log;
        let mut events = 0;
        for shard in (0..log.store().shards).map(Shard) {
            // What is wrong with the log, verifying will say.
            events += match log.head(shard).await {
                Ok(head) => head.n,
                Err(LogError::Corrupt(..)) => 0,
                Err(error) => return Err(error),
            };
        }
        Ok(if events <= self.shared.small { Begin::First } else { Begin::WhereTheLastEnded })
    }
}

impl VerificationShared {
    // Nothing panics while it holds the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_found(&self) -> Option<Job> {
        let state = self.state();
        state.jobs.iter().rev().find(|job| matches!(job.outcome, Outcome::Found(_))).cloned()
    }

    fn start(self: &Arc<Self>, begin: Begin) -> Uuid {
        let mut state = self.state();
        if let Some(running) = state.jobs.back().filter(|job| job.outcome == Outcome::Running) {
            return running.id;
        }
        let shards = (0..self.log.store().shards).map(Shard);
        let from = state.through.clone().filter(|_| begin == Begin::WhereTheLastEnded);
        let through = match &from {
            Some(from) => from.iter().map(Through::position).collect(),
            None => shards.map(|shard| Position { shard, n: 0 }).collect(),
        };
        let job = Job {
            id: Uuid::now_v7(),
            started_at: self.clock.now(),
            ended_at: None,
            through,
            outcome: Outcome::Running,
        };
        let id = job.id;
        state.jobs.push_back(job);
        if state.jobs.len() > REMEMBERED {
            state.jobs.pop_front();
        }
        drop(state);
        let (shared, stop) = (Arc::clone(self), self.stop.clone());
        tokio::spawn(stop.run_until_cancelled_owned(async move { shared.run(id, from).await }));
        id
    }

    async fn run(&self, id: Uuid, from: Option<Vec<Through>>) {
        // Whatever ends the task ends the job.
        let end = End { shared: self, id };
        let mut pauses = PAUSES;
        let mut retries = 0..RETRIES;
        let outcome = loop {
            let told = |shard: Shard, position: Position| {
                let mut state = self.state();
                let job = state.jobs.iter_mut().rev().find(|job| job.id == id);
                if let Some(through) = job.and_then(|job| job.through.get_mut(usize::from(shard.0))) {
                    *through = position;
                }
            };
            match verify(&*self.log, from.as_deref(), told).await {
                Err(error) if retries.next().is_some() => {
                    tracing::warn!(%error, "a verification begins again");
                }
                outcome => break outcome,
            }
            tokio::time::sleep(pauses.further()).await;
        };
        if let Err(error) = &outcome {
            tracing::error!(%error, "a verification was given up");
        }
        end.with(outcome);
    }

    fn end(&self, id: Uuid, outcome: Result<Verified, LogError>) {
        let now = self.clock.now();
        let mut state = self.state();
        let outcome = match outcome {
            Ok(Verified { report, through }) => {
                if through.is_some() {
                    state.through = through;
                }
                if let Some(position) = report.first_fault {
                    let reason = report.fault_reason.as_deref().unwrap_or_default();
                    tracing::error!(%position, reason, "the log and its derived rows don't hold together");
                }
                Outcome::Found(Arc::new(report))
            }
            Err(error) => Outcome::Failed(error.to_string()),
        };
        if let Some(job) = state.jobs.iter_mut().rev().find(|job| job.id == id) {
            if let Outcome::Found(report) = &outcome {
                job.through = report.shards.iter().map(|shard| shard.head).collect();
            }
            (job.ended_at, job.outcome) = (Some(now), outcome);
        }
        drop(state);
        self.ended.send_modify(|n| *n += 1);
    }
}

/// Ends a job, also when its task panics.
struct End<'a> {
    shared: &'a VerificationShared,
    id: Uuid,
}

impl End<'_> {
    fn with(self, outcome: Result<Verified, LogError>) {
        self.shared.end(self.id, outcome);
        std::mem::forget(self);
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.shared.end(self.id, Err(LogError::Unavailable("the verification was broken off".to_owned())));
    }
}

#[cfg(test)]
mod tests;
