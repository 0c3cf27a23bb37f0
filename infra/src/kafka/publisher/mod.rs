//! The publisher: what an owner decides goes to Kafka right after the decision, in order, and never with a gap.
//!
//! Every shard has a task that knows the next position to publish. It starts after the last record of the shard's own partition, and
//! takes frames from memory; what memory doesn't reach back to, it reads from the log. The producer is idempotent, so records of a
//! partition arrive in order or not at all; after any error the producer is purged and replaced, and every task starts again after the
//! last record that did arrive. So two publishers at once, and a publisher that was killed, repeat records at worst.

mod acks;
mod inbox;
mod lane;
mod producer;
mod tails;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::frame::DecidedFrame;
use domain::ports::feed::FanOut;
use domain::ports::log::{EventLog, StoreInfo};
use domain::position::Shard;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use self::inbox::Inbox;
use self::lane::Lane;
use self::producer::Generation;
use self::tails::Tails;
use super::{Error, KafkaUrl};

/// Frames that wait for Kafka take about so much memory in all shards together; so do records on their way.
const MEMORY: usize = 64 << 20;
/// How often `published_through` is written when it has moved.
const PROGRESS: Duration = Duration::from_millis(250);
/// How long a stop waits for Kafka to take what was decided. What it doesn't take, the next owner publishes.
const FAREWELL: Duration = Duration::from_secs(5);

/// Publishes decided frames to the topic.
pub struct KafkaPublisher {
    shards: Vec<Arc<ShardQueue>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What hands work to a shard's task.
struct ShardQueue {
    shard: Shard,
    inbox: Mutex<Inbox>,
    /// There is work, or room for it.
    woken: Arc<Notify>,
}

impl ShardQueue {
    /// Works on the inbox; the lock is held for a few pointer copies.
    fn inbox<T>(&self, work: impl FnOnce(&mut Inbox) -> T) -> T {
        work(&mut self.inbox.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What all tasks of a publisher share.
struct PublisherShared {
    url: KafkaUrl,
    log: Arc<dyn EventLog>,
    store: StoreInfo,
    source: String,
    generation: watch::Receiver<Arc<Generation>>,
    tails: Tails,
    /// Take no new work: end when all is published.
    stop: CancellationToken,
    /// End now.
    end: CancellationToken,
}

impl KafkaPublisher {
    /// Starts the tasks, on the current runtime. Kafka need not be there yet, and the topic is made when it is missing.
    ///
    /// After `stop`, what was handed over is still published for some seconds.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the driver can't be set up.
    pub fn start(
        url: &KafkaUrl,
        log: Arc<dyn EventLog>,
        stop: CancellationToken,
    ) -> Result<Arc<Self>, Error> {
        let store = log.store();
        let room = MEMORY / usize::from(store.shards.max(1));
        let queue =
            |shard| ShardQueue { shard, inbox: Mutex::new(Inbox::new(room)), woken: Arc::new(Notify::new()) };
        let shards: Vec<Arc<ShardQueue>> = (0..store.shards).map(Shard).map(queue).map(Arc::new).collect();
        let wakers: Vec<Arc<Notify>> = shards.iter().map(|queue| Arc::clone(&queue.woken)).collect();
        let first = Generation::new(url, &wakers, room)?;
        let (renewed, generation) = watch::channel(Arc::new(first));
        let end = CancellationToken::new();
        let (tails, asked) = Tails::new();
        let shared = Arc::new(PublisherShared {
            url: url.clone(),
            source: super::record::source(store.id),
            store,
            log,
            generation,
            tails,
            stop,
            end,
        });
        let mut lanes = JoinSet::new();
        for queue in &shards {
            lanes.spawn(Lane::new(Arc::clone(&shared), Arc::clone(queue)).run());
        }
        let mut helpers = JoinSet::new();
        helpers.spawn(tails::serve(Arc::clone(&shared), asked));
        helpers.spawn(producer::renew(Arc::clone(&shared), renewed, wakers, room));
        let task = tokio::spawn(supervise(shared, lanes, helpers));
        Ok(Arc::new(Self { shards, task: Mutex::new(Some(task)) }))
    }

    /// About how much waits to be published, bytes.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.shards.iter().map(|queue| queue.inbox(|inbox| inbox.bytes())).sum()
    }

    /// Waits until the publisher has ended, which it does after its stop.
    pub async fn stopped(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the publisher's task failed");
        }
    }
}

impl FanOut for KafkaPublisher {
    fn publish(&self, frame: Arc<DecidedFrame>) {
        if let Some(queue) = self.shards.get(usize::from(frame.header.slot.shard.0)) {
            queue.inbox(|inbox| inbox.push(frame));
            queue.woken.notify_one();
        }
    }
}

/// Keeps `published_through` up, and ends everything in order.
async fn supervise(shared: Arc<PublisherShared>, mut lanes: JoinSet<()>, mut helpers: JoinSet<()>) {
    let mut written = vec![0_u64; usize::from(shared.store.shards)];
    let mut tick = tokio::time::interval(PROGRESS);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => break,
            _ = tick.tick() => write_progress(&shared, &mut written).await,
            Some(Err(error)) = lanes.join_next() => tracing::error!(%error, "a shard's publishing failed"),
        }
    }
    let all_sent = async {
        while lanes.join_next().await.is_some() {}
        let generation = Arc::clone(&shared.generation.borrow());
        generation.acks.settled().await;
    };
    if tokio::time::timeout(FAREWELL, all_sent).await.is_err() {
        tracing::warn!("kafka didn't take everything in time; the next owner publishes the rest");
    }
    write_progress(&shared, &mut written).await;
    shared.end.cancel();
    lanes.shutdown().await;
    while helpers.join_next().await.is_some() {}
}

/// Writes how far each shard is published, where that has moved. Only what Kafka has acknowledged without a gap counts (P6).
async fn write_progress(shared: &PublisherShared, written: &mut [u64]) {
    let generation = Arc::clone(&shared.generation.borrow());
    let moved = (0..shared.store.shards).map(Shard).zip(written).filter_map(|(shard, written)| {
        let frame = generation.acks.acknowledged(shard);
        (frame > *written).then_some((shard, frame, written))
    });
    let writes = moved.map(|(shard, frame, written)| async move {
        match shared.log.write_published(shard, frame).await {
            Ok(()) => *written = frame,
            // Repeated with the next tick; losing it costs rework only.
            Err(error) => tracing::debug!(%shard, %error, "can't say yet how far the shard is published"),
        }
    });
    futures::future::join_all(writes).await;
}
