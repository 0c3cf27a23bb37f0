//! Pushed work: a group of projections whose only rows are the worker's memory. So the worker gets from the runner what every
//! consumer gets: no event is missed or comes twice (P7), gaps are filled from the log, failures are tried again, and the workers of
//! several processes share the shards.
//!
//! Nothing of it is stored. It begins at the log's heads; what was decided up to there is the read model's to show. It begins anew there
//! when what comes is old, as the events of a shard that nobody brought for a while, or that another worker had until now: what became
//! of that since only the read model tells without going through all of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::Timestamp;
use domain::event::RecordedEvent;
use domain::merkle::Hash;
use domain::ports::clock::Clock;
use domain::ports::feed::Feed;
use domain::ports::log::{LogError, LogReader, StoreInfo};
use domain::position::{Position, Seen, Shard};
use domain::stream::StreamId;
use domain::upcast::DecodeError;
use futures::future::try_join_all;
use projections::engine::mark::Generation;
use projections::engine::model::Projection;
use projections::engine::rows::{RowChange, Table};
use projections::engine::runner::{Runner, RunnerConfig, RunnerParts};
use projections::engine::store::{
    Batch, DeadLetter, Loaded, Move, Redrive, RowStore, StoreError, Visibility,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::engine::process::Processes;
use crate::engine::work::WorkChange;

/// Names the group to the feed.
const GROUP: &str = "saga-work";
/// So many batches may wait for the worker, which takes them at once; the feed waits behind them.
const BATCHES: usize = 4;

/// Where pushed work comes from.
#[derive(Clone)]
pub struct Source {
    /// What is decided.
    pub feed: Arc<dyn Feed>,
    /// What was decided.
    pub log: Arc<dyn LogReader>,
}

impl Source {
    /// The last decided position of every shard.
    ///
    /// # Errors
    /// [`LogError`].
    pub(super) async fn decided(&self) -> Result<Seen, LogError> {
        let heads = try_join_all((0..self.log.store().shards).map(|shard| self.log.head(Shard(shard))));
        Ok(Seen::up_to(&heads.await?))
    }
}

/// An event's change of the work queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pushed {
    pub(super) tenant: String,
    pub(super) position: Position,
    pub(super) at: Timestamp,
    pub(super) change: WorkChange,
}

/// What the worker is told.
#[derive(Debug)]
pub(super) enum News {
    /// Everything is pushed that is decided after these heads, and nothing before.
    Begun(Seen),
    /// In the order of each shard.
    Changes(Vec<Pushed>),
}

/// Follows the feed until the token stops it, or nobody listens any more.
pub(super) fn follow(
    processes: Processes,
    source: Source,
    clock: Arc<dyn Clock>,
    fresh: Duration,
    stop: CancellationToken,
) -> (mpsc::Receiver<News>, JoinHandle<()>) {
    let (news, told) = mpsc::channel(BATCHES);
    let task = tokio::spawn(async move {
        let mapped = Arc::new(Mapped { processes, changes: Mutex::default() });
        let store = Arc::new(InMemory {
            mapped: Arc::clone(&mapped),
            source: source.clone(),
            clock: Arc::clone(&clock),
            fresh,
            news: news.clone(),
            seen: Mutex::default(),
        });
        let config = RunnerConfig::default();
        loop {
            let runner = Runner::start(RunnerParts {
                group: GROUP,
                store: Arc::clone(&store) as Arc<dyn RowStore>,
                projections: vec![Arc::clone(&mapped) as Arc<dyn Projection>],
                feed: Arc::clone(&source.feed),
                log: Arc::clone(&source.log),
                clock: Arc::clone(&clock),
                config,
                shutdown: stop.clone(),
            });
            match runner.await {
                Ok(runner) => return runner.stopped().await,
                Err(error) => tracing::warn!(%error, "work of the sagas isn't pushed yet; trying again"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = news.closed() => return,
                () = tokio::time::sleep(config.max_backoff) => {}
            }
        }
    });
    (told, task)
}

/// The projection. What it makes of an event goes past the rows, as it is, and is taken when the event is applied.
struct Mapped {
    processes: Processes,
    changes: Mutex<HashMap<Shard, BTreeMap<u64, Vec<Pushed>>>>,
}

impl Mapped {
    /// Takes what was made of the events of a move.
    fn take(&self, moved: &Move, out: &mut Vec<Pushed>) {
        let mut mapped = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(of_shard) = mapped.get_mut(&moved.shard) else { return };
        let later = of_shard.split_off(&(moved.to + 1));
        let taken = std::mem::replace(of_shard, later);
        // Events that were mapped and never applied come before.
        out.extend(taken.into_iter().filter(|(n, _)| *n > moved.from).flat_map(|(_, changes)| changes));
    }

    fn clear(&self) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Projection for Mapped {
    fn name(&self) -> &'static str {
        GROUP
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        &[]
    }

    fn map(&self, event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
        let pushed = |change| Pushed {
            tenant: event.stream.tenant().to_owned(),
            position: event.position,
            at: event.time,
            change,
        };
        let changes: Vec<Pushed> = self.processes.react(event)?.into_iter().map(pushed).collect();
        if !changes.is_empty() {
            let mut mapped = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            mapped.entry(event.position.shard).or_default().insert(event.position.n, changes);
        }
        Ok(Vec::new())
    }
}

/// The store: it keeps how far the worker was told, and nothing else.
struct InMemory {
    mapped: Arc<Mapped>,
    source: Source,
    clock: Arc<dyn Clock>,
    /// What was opened longer ago isn't pushed.
    fresh: Duration,
    news: mpsc::Sender<News>,
    /// `None`: it begins at the heads.
    seen: Mutex<Option<Seen>>,
}

impl InMemory {
    fn seen(&self) -> Option<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, seen: Option<Seen>) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    async fn tell(&self, news: News) -> Result<(), StoreError> {
        let ended = |_| StoreError::Unavailable("the worker has ended".to_owned());
        self.news.send(news).await.map_err(ended)
    }

    fn is_old(&self, pushed: &Pushed) -> bool {
        let age = (self.clock.now() - pushed.at).to_std().unwrap_or(Duration::ZERO);
        matches!(pushed.change, WorkChange::Opened { .. }) && age > self.fresh
    }

    fn moved() -> StoreError {
        StoreError::Moved(GROUP.to_owned())
    }
}

#[async_trait]
impl RowStore for InMemory {
    async fn prepare(&self, _projections: &[Arc<dyn Projection>], _log: StoreInfo) -> Result<(), StoreError> {
        Ok(())
    }

    async fn renew(&self, _projection: &Arc<dyn Projection>, _found: &Loaded) -> Result<(), StoreError> {
        self.set(None);
        Ok(())
    }

    async fn load(&self, _projection: &'static str) -> Result<Loaded, StoreError> {
        let seen = match self.seen() {
            Some(seen) => seen,
            None => {
                let decided = self.source.decided().await;
                let heads = decided.map_err(|error| StoreError::Unavailable(error.to_string()))?;
                self.tell(News::Begun(heads.clone())).await?;
                self.mapped.clear();
                self.set(Some(heads.clone()));
                heads
            }
        };
        Ok(Loaded {
            generation: Generation::named(GROUP),
            seen,
            foreign: None,
            // What can't be mapped is parked in the read model too, where somebody sees it.
            parked: Vec::new(),
            letters: 0,
            marks: Vec::new(),
        })
    }

    async fn apply(&self, batch: Batch) -> Result<Visibility, StoreError> {
        let Some(mut seen) = self.seen() else { return Err(Self::moved()) };
        let mut changes = Vec::new();
        for moved in batch.parts.iter().flat_map(|part| &part.moves) {
            if seen.last(moved.shard) != moved.from {
                return Err(Self::moved());
            }
            self.mapped.take(moved, &mut changes);
            seen.advance(Position { shard: moved.shard, n: moved.to });
        }
        if changes.iter().any(|pushed| self.is_old(pushed)) {
            self.set(None);
            return Err(Self::moved());
        }
        if !changes.is_empty() {
            self.tell(News::Changes(changes)).await?;
        }
        self.set(Some(seen));
        Ok(Visibility::Stored)
    }

    async fn letters(
        &self,
        _projection: &'static str,
        _stream: &StreamId,
        _limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        Ok(Vec::new())
    }

    async fn redrive(&self, _step: Redrive) -> Result<(), StoreError> {
        Ok(())
    }

    async fn digest(&self, _projection: &Arc<dyn Projection>) -> Result<Hash, StoreError> {
        Ok(Hash::default())
    }
}
