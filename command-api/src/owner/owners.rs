//! The owners of a store's shards in one process, as the gateway that commands go through.

use std::sync::Arc;

use async_trait::async_trait;
use domain::Timestamp;
use domain::aggregate::Registry;
use domain::command::{Accepted, CommandError, CommandId, CommandRequest};
use domain::merkle::Hash;
use domain::ports::clock::Clock;
use domain::ports::feed::FanOut;
use domain::ports::gateway::{CommandGateway, StreamView};
use domain::ports::log::EventLog;
use domain::position::{Position, Shard};
use domain::stream::StreamId;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::OwnerShared;
use super::config::OwnerConfig;
use super::figures::ShardFigures;
use super::job::{AnswerTo, Job};
use super::owning::{Leaving, own};
use super::places::{Places, Serving};
use super::takeover::{Takeover, take_over};

/// The owners that this process has: of all shards where no other process can own any, else of those that it acquired.
/// Dropping it without [`Owners::stop`] leaves what is in flight to its callers' time-outs.
pub struct Owners {
    shared: Arc<OwnerShared>,
    places: Arc<Places>,
    /// No other process can own a shard of this store.
    alone: bool,
    stop: CancellationToken,
    give_up: CancellationToken,
    tasks: TaskTracker,
}

impl Owners {
    /// Takes over every shard of the log and starts its owner. Its figures go to the recorder of metrics that is in place at the call; who
    /// polls doesn't matter.
    ///
    /// # Errors
    /// When a shard can't be taken over: storage is unavailable, or what the log holds doesn't verify.
    pub fn start(
        log: Arc<dyn EventLog>,
        registry: Arc<Registry>,
        fan_out: Arc<dyn FanOut>,
        clock: Arc<dyn Clock>,
        config: OwnerConfig,
    ) -> impl Future<Output = Result<Self, CommandError>> + Send {
        let owners = Self { alone: true, ..Self::standby(log, registry, fan_out, clock, config) };
        async move {
            let takeovers = owners.places.shards().map(|shard| take_over(&owners.shared, shard));
            let takeovers = futures::future::try_join_all(takeovers).await?;
            for (shard, takeover) in owners.places.shards().zip(takeovers) {
                owners.serve(shard, takeover);
            }
            Ok(owners)
        }
    }

    /// Owns no shard until one is [acquired](Self::acquire). Its figures go to the recorder of metrics that is in place.
    #[must_use]
    pub fn standby(
        log: Arc<dyn EventLog>,
        registry: Arc<Registry>,
        fan_out: Arc<dyn FanOut>,
        clock: Arc<dyn Clock>,
        config: OwnerConfig,
    ) -> Self {
        let store = log.store();
        let places = Places::new(store.shards);
        let deriving = Arc::new(Semaphore::new(config.derive_at_once.clamp(1, Semaphore::MAX_PERMITS)));
        let proposing = Arc::new(Semaphore::new(config.frames_at_once.clamp(1, Semaphore::MAX_PERMITS)));
        let figures = (0..store.shards).map(|shard| Arc::new(ShardFigures::of(Shard(shard)))).collect();
        let shared =
            OwnerShared { log, registry, fan_out, clock, config, store, deriving, proposing, figures };
        let shared = Arc::new(shared);
        let tasks = TaskTracker::new();
        tasks.close();
        let (stop, give_up) = (CancellationToken::new(), CancellationToken::new());
        Self { shared, places, alone: false, stop, give_up, tasks }
    }

    /// Takes a shard over and starts its owner; answers the epoch of its fence. A shard owned already stays as it is.
    ///
    /// # Errors
    /// When the shard can't be taken over: storage is unavailable, what the log holds doesn't verify, or this is stopping.
    pub async fn acquire(&self, shard: Shard) -> Result<u64, CommandError> {
        let _turn = self.places.taking(shard).await?;
        if let Some(serving) = self.places.serving(shard)? {
            if !serving.release.is_cancelled() {
                return Ok(serving.epoch);
            }
            serving.ended.cancelled().await;
        }
        let takeover = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(stopping()),
            takeover = take_over(&self.shared, shard) => takeover?,
        };
        Ok(self.serve(shard, takeover))
    }

    /// Gives a shard up: takes no more commands for it, answers what was accepted, writes what is outstanding behind, and ends
    /// its owner: within twice [`OwnerConfig::stop_within`], after which callers still waiting learn that their outcome is
    /// unknown. A shard that isn't owned stays so.
    pub async fn release(&self, shard: Shard) {
        let Ok(Some(serving)) = self.places.serving(shard) else { return };
        serving.release.cancel();
        let within = self.shared.config.stop_within * 2;
        if tokio::time::timeout(within, serving.ended.cancelled()).await.is_err() {
            tracing::error!(%shard, "an owner did not end in time; outcomes still open stay open");
            serving.give_up.cancel();
            serving.ended.cancelled().await;
        }
    }

    /// Whether this process owns the shard and takes commands for it.
    #[must_use]
    pub fn owns(&self, shard: Shard) -> bool {
        self.epoch(shard).is_some()
    }

    /// The epoch of the fence that the shard was acquired with, when this process owns it.
    #[must_use]
    pub fn epoch(&self, shard: Shard) -> Option<u64> {
        let serving = self.places.serving(shard).ok().flatten()?;
        (!serving.release.is_cancelled()).then_some(serving.epoch)
    }

    /// The shards that this process owns, in order.
    #[must_use]
    pub fn owned(&self) -> Vec<Shard> {
        self.places.shards().filter(|shard| self.owns(*shard)).collect()
    }

    /// Grows whenever an owner ends: released, stopped, or deposed by a higher epoch. [`owned`](Self::owned) tells which are left.
    #[must_use]
    pub fn endings(&self) -> watch::Receiver<u64> {
        self.places.endings()
    }

    /// The last decided position of every shard that this process owns, in shard order.
    #[must_use]
    pub fn heads(&self) -> Vec<Position> {
        let serving = |shard| self.places.serving(shard).ok().flatten().map(|serving| (shard, serving));
        self.places
            .shards()
            .filter_map(serving)
            .map(|(shard, serving)| Position { shard, n: *serving.head.borrow() })
            .collect()
    }

    /// The figures of every shard that this process owns or owned.
    pub fn figures(&self) -> impl Iterator<Item = (Shard, &ShardFigures)> {
        (0..).map(Shard).zip(self.shared.figures.iter().map(Arc::as_ref))
    }

    /// What the owners' clock says.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Remembers where a shard's owner was seen, for those who ask here in vain.
    pub fn seen_elsewhere(&self, shard: Shard, address: Option<&str>) {
        self.places.seen_elsewhere(shard, address);
    }

    /// Tells whoever hands shards out that a caller finds no owner of one.
    pub fn want(&self) {
        self.places.wanted.notify_one();
    }

    /// Waits until a caller found no owner.
    pub async fn wanted(&self) {
        self.places.wanted.notified().await;
    }

    /// Takes no more commands, answers what was accepted, writes what is outstanding behind, and ends: within twice
    /// [`OwnerConfig::stop_within`], after which callers still waiting learn that their outcome is unknown.
    pub async fn stop(&self) {
        self.stop.cancel();
        let within = self.shared.config.stop_within * 2;
        if tokio::time::timeout(within, self.tasks.wait()).await.is_err() {
            tracing::error!("owners did not stop in time; outcomes still open stay open");
            self.give_up.cancel();
            self.tasks.wait().await;
        }
    }

    /// Starts the owner of a shard that was taken over; answers its epoch.
    fn serve(&self, shard: Shard, takeover: Takeover) -> u64 {
        let epoch = takeover.tail.epoch;
        let (jobs, queue) = mpsc::channel(self.shared.config.queue);
        let (head, head_seen) = watch::channel(takeover.tail.head());
        let serving = Serving {
            jobs,
            head: head_seen,
            epoch,
            release: self.stop.child_token(),
            give_up: self.give_up.child_token(),
            ended: CancellationToken::new(),
        };
        let leaving = Leaving::new(Arc::clone(&self.places), shard, serving.ended.clone());
        let (release, give_up) = (serving.release.clone(), serving.give_up.clone());
        self.places.install(shard, serving);
        let owned = own(Arc::clone(&self.shared), leaving, takeover, queue, head, release);
        // Storage that doesn't answer is asked again for ever, but not after the end.
        self.tasks.spawn(give_up.run_until_cancelled_owned(owned));
        epoch
    }

    fn enqueue(&self, shard: Shard, job: Job) {
        self.places.enqueue(shard, job, |shard| {
            // Where others can own shards, one of them has it soon.
            if self.alone && self.stop.is_cancelled() {
                return stopping();
            }
            CommandError::NotOwner { shard, owner: self.places.elsewhere(shard) }
        });
    }

    async fn answer<T>(
        &self,
        answer: oneshot::Receiver<Result<T, CommandError>>,
        too_late: CommandError,
    ) -> Result<T, CommandError> {
        match tokio::time::timeout(self.shared.config.answer_within, answer).await {
            Ok(Ok(answer)) => answer,
            // The loop ended with the job, or the time is over: either way nobody knows.
            Ok(Err(_)) | Err(_) => Err(too_late),
        }
    }
}

/// The one shard of the command's streams.
///
/// # Errors
/// [`CommandError::Internal`] when the command is wrongly put together.
pub(crate) fn shard_of(request: &CommandRequest, shards: u16) -> Result<Shard, CommandError> {
    let internal = |reason: &str| Err(CommandError::Internal(reason.to_owned()));
    let mut all = request.steps.iter().map(|step| step.stream.shard(shards));
    let Some(shard) = all.next() else { return internal("a command without steps") };
    if all.any(|other| other != shard) {
        return internal("a command's streams lie in different shards");
    }
    for (i, step) in request.steps.iter().enumerate() {
        if request.steps[..i].iter().any(|other| other.stream == step.stream) {
            return internal("a command with two steps on one stream");
        }
    }
    Ok(shard)
}

#[async_trait]
impl CommandGateway for Owners {
    fn shards(&self) -> u16 {
        self.shared.store.shards
    }

    async fn submit(&self, command: CommandRequest) -> Result<Accepted, CommandError> {
        let shard = shard_of(&command, self.shards())?;
        let id = command.id;
        let (reply, answer) = AnswerTo::channel();
        let known = command.steps.iter().filter(|step| !step.fresh);
        let mut reached = Vec::new();
        for step in known {
            let registry = &self.shared.registry;
            reached.extend(registry.reach(&step.stream, &*step.command, self.shards()));
        }
        self.enqueue(shard, Job::Command { request: command, reached, reply, looked_up: false });
        self.answer(answer, CommandError::OutcomeUnknown(id)).await
    }

    async fn read(&self, streams: &[StreamId]) -> Result<Vec<StreamView>, CommandError> {
        let by_shard = by_shard(streams, self.shards());
        let reads = by_shard.into_iter().map(|(shard, indices)| async move {
            let (reply, answer) = AnswerTo::channel();
            let wanted = indices.iter().map(|i| streams[*i].clone()).collect();
            self.enqueue(shard, Job::Read { streams: wanted, reply });
            let too_late =
                CommandError::Unavailable(format!("the owner of shard {shard} did not answer in time"));
            let views = self.answer(answer, too_late).await?;
            Ok::<_, CommandError>(indices.into_iter().zip(views).collect::<Vec<_>>())
        });
        in_order(streams.len(), futures::future::try_join_all(reads).await?)
    }

    async fn answered(
        &self,
        shard: Shard,
        id: CommandId,
        body_hash: &Hash,
    ) -> Result<Option<Accepted>, CommandError> {
        let (reply, answer) = AnswerTo::channel();
        self.enqueue(shard, Job::Answered { id, body_hash: *body_hash, reply, looked_up: false });
        let too_late =
            CommandError::Unavailable(format!("the owner of shard {shard} did not answer in time"));
        self.answer(answer, too_late).await
    }
}

fn stopping() -> CommandError {
    CommandError::Unavailable("the server is stopping".into())
}

/// Indices of streams by the shard that they live in.
pub(crate) fn by_shard(streams: &[StreamId], shards: u16) -> Vec<(Shard, Vec<usize>)> {
    let mut by_shard: Vec<(Shard, Vec<usize>)> = Vec::new();
    for (i, stream) in streams.iter().enumerate() {
        let shard = stream.shard(shards);
        match by_shard.iter_mut().find(|(s, _)| *s == shard) {
            Some((_, indices)) => indices.push(i),
            None => by_shard.push((shard, vec![i])),
        }
    }
    by_shard
}

/// The shards' answers to a read, as one in the order that was asked for.
pub(crate) fn in_order(
    wanted: usize,
    answers: Vec<Vec<(usize, StreamView)>>,
) -> Result<Vec<StreamView>, CommandError> {
    let mut views: Vec<(usize, StreamView)> = answers.into_iter().flatten().collect();
    views.sort_by_key(|(i, _)| *i);
    if views.len() != wanted {
        return Err(CommandError::Internal("a read without an answer for each stream".into()));
    }
    Ok(views.into_iter().map(|(_, view)| view).collect())
}
