//! Applying the log to a store up to given positions, several shards at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::ports::clock::SystemClock;
use domain::ports::feed::FeedEvent;
use domain::ports::log::{LogError, LogReader};
use domain::ports::walk::Walk;
use domain::position::{Position, Seen, Shard};
use projections::engine::applier::{Applier, ApplyError, Limits};
use projections::engine::model::Projection;
use projections::engine::store::{RowStore, StoreError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Phase, RebuildError, RebuildProgress};

/// Shards at a time.
const WORKERS: usize = 4;
/// Events in one transaction: the more, the more changes of a row become one.
const BATCH: usize = 8_000;
/// Frames may be small, and a transaction is to be full.
const PAGE_FRAMES: usize = 4_096;
const PAGE_BYTES: usize = 4 << 20;
/// How often storage may fail in a row.
const ATTEMPTS: u32 = 8;

/// A store that is to be filled.
pub(crate) struct Fill<'a> {
    store: Arc<dyn RowStore>,
    projections: &'a [Arc<dyn Projection>],
    log: &'a Arc<dyn LogReader>,
}

impl<'a> Fill<'a> {
    pub(crate) fn new(
        store: Arc<dyn RowStore>,
        projections: &'a [Arc<dyn Projection>],
        log: &'a Arc<dyn LogReader>,
    ) -> Self {
        Self { store, projections, log }
    }

    /// Applies what is missing up to the target; nothing after it.
    pub(crate) async fn run(
        &self,
        target: &Seen,
        phase: Phase,
        progress: &mut (dyn FnMut(RebuildProgress) + Send),
    ) -> Result<(), RebuildError> {
        let total = target.positions().map(|p| p.n).sum();
        let mut behind: VecDeque<Shard> = VecDeque::new();
        let mut done = 0;
        if !self.projections.is_empty() {
            let mut applier = self.applier().await?;
            applier.reconcile(self.log.as_ref()).await?;
            let low = applier.low();
            done = low.positions().map(|p| p.n.min(target.last(p.shard))).sum();
            behind.extend(target.positions().filter(|p| low.last(p.shard) < p.n).map(|p| p.shard));
        }
        progress(RebuildProgress { phase, done, total });
        let workers = behind.len().min(WORKERS);
        let shards = Arc::new(Mutex::new(behind));
        let (applied, mut counts) = mpsc::channel(64);
        let mut tasks = JoinSet::new();
        // All of them before any applies: preparing a search index opens it again, and what was applied and not published is gone.
        let mut appliers = Vec::new();
        for _ in 0..workers {
            appliers.push(self.applier().await?);
        }
        for applier in appliers {
            let worker = Worker {
                applier,
                log: Arc::clone(self.log),
                target: target.clone(),
                applied: applied.clone(),
            };
            tasks.spawn(worker.run(Arc::clone(&shards)));
        }
        drop(applied);
        while let Some(count) = counts.recv().await {
            done += count;
            progress(RebuildProgress { phase, done: done.min(total), total });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap_or_else(|panic| Err(StoreError::Unavailable(panic.to_string()).into()))?;
        }
        Ok(())
    }

    async fn applier(&self) -> Result<Applier, RebuildError> {
        let limits = Limits { batch_events: BATCH, ..Limits::default() };
        let (log, clock) = (self.log.store(), Arc::new(SystemClock));
        Ok(Applier::open(Arc::clone(&self.store), self.projections, log, clock, limits).await?)
    }
}

struct Worker {
    applier: Applier,
    log: Arc<dyn LogReader>,
    target: Seen,
    applied: mpsc::Sender<u64>,
}

impl Worker {
    async fn run(mut self, shards: Arc<Mutex<VecDeque<Shard>>>) -> Result<(), RebuildError> {
        let next = || shards.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        while let Some(shard) = next() {
            self.shard(shard).await?;
        }
        Ok(())
    }

    async fn shard(&mut self, shard: Shard) -> Result<(), RebuildError> {
        let end = self.target.last(shard);
        let mut last = self.applier.low().last(shard);
        let log = Arc::clone(&self.log);
        let walk = Walk::from_position(&*log, Position { shard, n: last + 1 }).await?;
        let mut walk = walk.by(PAGE_FRAMES, PAGE_BYTES);
        let mut batch: Vec<FeedEvent> = Vec::with_capacity(BATCH);
        while last < end {
            let page = walk.page().await?;
            if page.is_empty() {
                let missing = format!("the log has no {} yet", Position { shard, n: last + 1 });
                return Err(LogError::Unavailable(missing).into());
            }
            for frame in &page {
                batch.extend(FeedEvent::all_of(frame).filter(|e| e.position.n > last && e.position.n <= end));
            }
            last = batch.last().map_or(last, |event| event.position.n);
            if batch.len() >= BATCH || last >= end {
                self.apply(&batch).await?;
                // Nobody counts any more when another worker has failed.
                let _ = self.applied.send(batch.len() as u64).await;
                batch.clear();
            }
        }
        Ok(())
    }

    async fn apply(&mut self, events: &[FeedEvent]) -> Result<(), RebuildError> {
        for attempt in 0..ATTEMPTS {
            match self.applier.apply(events, self.log.as_ref()).await {
                Ok(_) => break,
                // The live one moves by itself: then there is less to do.
                Err(ApplyError::Store(error)) if attempt + 1 < ATTEMPTS => {
                    tracing::debug!(%error, "applying again");
                    tokio::time::sleep(Duration::from_millis(10 << attempt)).await;
                    self.reload(attempt).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        match self.applier.lanes().iter().find_map(|l| Some((l.projection().name(), l.stopped()?))) {
            Some((name, stopped)) => Err(RebuildError::Stopped(name, stopped.reason.clone())),
            None => Ok(()),
        }
    }

    async fn reload(&mut self, mut attempt: u32) -> Result<(), RebuildError> {
        while let Err(error) = self.applier.reload().await {
            attempt += 1;
            if attempt >= ATTEMPTS {
                return Err(error.into());
            }
            tokio::time::sleep(Duration::from_millis(10 << attempt)).await;
        }
        Ok(())
    }
}
