//! The owners of all shards of a store in one process, as the gateway that commands go through.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::aggregate::Registry;
use domain::command::{Accepted, CommandError, CommandId, CommandRequest};
use domain::merkle::Hash;
use domain::ports::clock::Clock;
use domain::ports::feed::FanOut;
use domain::ports::gateway::{CommandGateway, StreamView};
use domain::ports::log::EventLog;
use domain::position::{Position, Shard};
use domain::stream::StreamId;
use futures::FutureExt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Shared;
use super::config::{OnDeposed, OwnerConfig};
use super::frame_loop::{Ended, FrameLoop};
use super::job::{Job, Reply};
use super::takeover::{Takeover, take_over};

struct Queue {
    jobs: mpsc::Sender<Job>,
    head: watch::Receiver<u64>,
}

/// The owners of all shards. Dropping it without [`Owners::stop`] leaves what is in flight to its callers' time-outs.
pub struct Owners {
    shared: Arc<Shared>,
    queues: Vec<Queue>,
    stop: CancellationToken,
    give_up: CancellationToken,
    tasks: TaskTracker,
}

impl Owners {
    /// Takes over every shard of the log and starts its owner.
    ///
    /// # Errors
    /// When a shard can't be taken over: storage is unavailable, or what the log holds doesn't verify.
    pub async fn start(
        log: Arc<dyn EventLog>,
        registry: Arc<Registry>,
        fan_out: Arc<dyn FanOut>,
        clock: Arc<dyn Clock>,
        config: OwnerConfig,
    ) -> Result<Self, CommandError> {
        let store = log.store();
        let shared = Arc::new(Shared { log, registry, fan_out, clock, config, store });
        let takeovers = (0..store.shards).map(|n| take_over(&shared, Shard(n)));
        let takeovers = futures::future::try_join_all(takeovers).await?;
        let (stop, give_up) = (CancellationToken::new(), CancellationToken::new());
        let tasks = TaskTracker::new();
        let queues = (0..store.shards).zip(takeovers).map(|(n, takeover)| {
            let (jobs, receiver) = mpsc::channel(shared.config.queue);
            let (head, head_seen) = watch::channel(takeover.tail.head());
            let shared = Arc::clone(&shared);
            let owned = own(shared, Shard(n), takeover, receiver, head, stop.clone());
            // Storage that doesn't answer is asked again for ever, but not after the end.
            tasks.spawn(give_up.clone().run_until_cancelled_owned(owned));
            Queue { jobs, head: head_seen }
        });
        let queues = queues.collect();
        tasks.close();
        Ok(Self { shared, queues, stop, give_up, tasks })
    }

    /// The last decided position of every shard, in shard order.
    #[must_use]
    pub fn heads(&self) -> Vec<Position> {
        (0_u16..)
            .zip(&self.queues)
            .map(|(n, queue)| Position { shard: Shard(n), n: *queue.head.borrow() })
            .collect()
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

    fn enqueue(&self, shard: Shard, job: Job) {
        let Some(queue) = self.queues.get(usize::from(shard.0)) else {
            return job.fail(CommandError::Internal(format!("there is no shard {shard}")));
        };
        match queue.jobs.try_send(job) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(job)) => job.fail(CommandError::Overloaded),
            Err(mpsc::error::TrySendError::Closed(job)) => {
                job.fail(CommandError::Unavailable("the server is stopping".into()));
            }
        }
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

    /// The one shard of the command's streams.
    fn shard_of(&self, request: &CommandRequest) -> Result<Shard, CommandError> {
        let internal = |reason: &str| Err(CommandError::Internal(reason.to_owned()));
        let mut shards = request.steps.iter().map(|step| step.stream.shard(self.shards()));
        let Some(shard) = shards.next() else { return internal("a command without steps") };
        if shards.any(|other| other != shard) {
            return internal("a command's streams lie in different shards");
        }
        for (i, step) in request.steps.iter().enumerate() {
            if request.steps[..i].iter().any(|other| other.stream == step.stream) {
                return internal("a command with two steps on one stream");
            }
        }
        Ok(shard)
    }
}

#[async_trait]
impl CommandGateway for Owners {
    fn shards(&self) -> u16 {
        self.shared.store.shards
    }

    async fn submit(&self, command: CommandRequest) -> Result<Accepted, CommandError> {
        let shard = self.shard_of(&command)?;
        let id = command.id;
        let (reply, answer) = Reply::channel();
        self.enqueue(shard, Job::Command { request: command, reply, looked_up: false });
        self.answer(answer, CommandError::OutcomeUnknown(id)).await
    }

    async fn read(&self, streams: &[StreamId]) -> Result<Vec<StreamView>, CommandError> {
        let mut by_shard: Vec<(Shard, Vec<usize>)> = Vec::new();
        for (i, stream) in streams.iter().enumerate() {
            let shard = stream.shard(self.shards());
            match by_shard.iter_mut().find(|(s, _)| *s == shard) {
                Some((_, indices)) => indices.push(i),
                None => by_shard.push((shard, vec![i])),
            }
        }
        let reads = by_shard.into_iter().map(|(shard, indices)| async move {
            let (reply, answer) = Reply::channel();
            let wanted = indices.iter().map(|i| streams[*i].clone()).collect();
            self.enqueue(shard, Job::Read { streams: wanted, reply });
            let too_late =
                CommandError::Unavailable(format!("the owner of shard {shard} did not answer in time"));
            let views = self.answer(answer, too_late).await?;
            Ok::<_, CommandError>(indices.into_iter().zip(views).collect::<Vec<_>>())
        });
        let mut views: Vec<(usize, StreamView)> =
            futures::future::try_join_all(reads).await?.into_iter().flatten().collect();
        views.sort_by_key(|(i, _)| *i);
        if views.len() != streams.len() {
            return Err(CommandError::Internal("a read without an answer for each stream".into()));
        }
        Ok(views.into_iter().map(|(_, view)| view).collect())
    }

    async fn answered(
        &self,
        shard: Shard,
        id: CommandId,
        body_hash: &Hash,
    ) -> Result<Option<Accepted>, CommandError> {
        let (reply, answer) = Reply::channel();
        self.enqueue(shard, Job::Answered { id, body_hash: *body_hash, reply, looked_up: false });
        let too_late =
            CommandError::Unavailable(format!("the owner of shard {shard} did not answer in time"));
        self.answer(answer, too_late).await
    }
}

/// Between attempts to take a shard over again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Owns a shard until told to stop: runs its loop, and takes the shard over again where that is the policy.
async fn own(
    shared: Arc<Shared>,
    shard: Shard,
    takeover: Takeover,
    mut queue: mpsc::Receiver<Job>,
    head: watch::Sender<u64>,
    stop: CancellationToken,
) {
    let mut start = Some(takeover);
    let mut pause = FIRST_PAUSE;
    while let Some(takeover) = start.take() {
        let mut frames = FrameLoop::new(Arc::clone(&shared), shard, takeover, head.clone());
        let ended = AssertUnwindSafe(frames.run(&mut queue, &stop)).catch_unwind().await;
        drop(frames);
        match ended {
            Ok(Ended::Stopped) => return,
            Ok(Ended::Deposed) if shared.config.on_deposed == OnDeposed::Stop => break,
            Ok(Ended::Deposed) => {}
            // Its callers learn that the outcome is unknown; the log tells the next takeover what was decided.
            Err(_) => tracing::error!(%shard, "the frame loop panicked; taking the shard over again"),
        }
        while start.is_none() && !stop.is_cancelled() {
            refuse_queued(&mut queue, shard);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => break,
            }
            let taken = tokio::select! {
                taken = take_over(&shared, shard) => taken,
                () = stop.cancelled() => break,
            };
            match taken {
                Ok(takeover) => {
                    start = Some(takeover);
                    pause = FIRST_PAUSE;
                }
                Err(error) => {
                    tracing::error!(%shard, %error, "the shard can't be taken over, trying again");
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
            }
        }
    }
    // Not the owner any more: everybody is told, until the process stops.
    loop {
        tokio::select! {
            job = queue.recv() => match job {
                Some(job) => job.fail(not_owner(shard)),
                None => return,
            },
            () = stop.cancelled(), if !queue.is_closed() => queue.close(),
        }
    }
}

fn not_owner(shard: Shard) -> CommandError {
    CommandError::Unavailable(format!("this process doesn't own shard {shard}"))
}

fn refuse_queued(queue: &mut mpsc::Receiver<Job>, shard: Shard) {
    while let Ok(job) = queue.try_recv() {
        job.fail(not_owner(shard));
    }
}
