//! The feed: new events through Kafka, everything else from the log. What the owners of this process decide comes to its readers without
//! the way through Kafka, as it is in memory: for the shards that they have of the group, as before.
//!
//! A reader begins at the end of its partitions and reads what lies before from the log, in large pages. From then on records come as they
//! are published; where a position is missing, or a shard has been quiet while its log went on, the log is read again. So a consumer
//! loses and misses nothing when the topic is wiped, when retention overtakes it, when the publisher stalls or the brokers are gone.
//!
//! The consumers of a group share the partitions. Offsets are committed for people and tools only; nothing here reads them.

mod place;
mod reader;
mod session;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::ports::feed::{Feed, FeedReader};
use domain::ports::log::{LogError, LogReader, StoreInfo};
use domain::position::{Position, Seen, Shard};
use tokio::task::JoinHandle;

use self::reader::KafkaReader;
use self::session::Session;
use super::KafkaUrl;
use crate::feed::find_heads;
use crate::feed::ring::Rings;

/// How often the log's heads are looked up.
const HEADS: Duration = Duration::from_secs(1);
/// How long a consumer without a reader stays in its group: a reader that is opened again at once costs no rebalance.
const LINGER: Duration = Duration::from_secs(3);

/// The feed of a process that may be one of many.
pub struct KafkaFeed {
    shared: Arc<KafkaFeedShared>,
    refreshing: JoinHandle<()>,
}

/// What the feed and its readers share.
struct KafkaFeedShared {
    url: KafkaUrl,
    log: Arc<dyn LogReader>,
    store: StoreInfo,
    /// The last position of each shard that is known here.
    heads: Vec<AtomicU64>,
    /// What was decided here.
    local: Arc<Rings>,
    /// Consumers whose readers are gone, by group.
    idle: Mutex<HashMap<String, (Session, Instant)>>,
}

impl KafkaFeedShared {
    /// A position of the shard is known to be decided.
    fn decided(&self, position: Position) {
        if let Some(head) = self.heads.get(usize::from(position.shard.0)) {
            head.fetch_max(position.n, Relaxed);
        }
    }

    fn idle<T>(&self, work: impl FnOnce(&mut HashMap<String, (Session, Instant)>) -> T) -> T {
        work(&mut self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps a session for the group's next reader.
    fn put_by(&self, group: String, session: Session) {
        let replaced = self.idle(|idle| idle.insert(group, (session, Instant::now())));
        drop(replaced);
    }
}

impl KafkaFeed {
    /// A feed over the topic and the log whose events it carries. Kafka need not be there yet.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn open(url: &KafkaUrl, log: Arc<dyn LogReader>) -> Result<Self, LogError> {
        let nobody_decides = Arc::new(Rings::new(&[], 0));
        Self::beside_owners(url, log, nobody_decides).await
    }

    /// The same in a process whose owners publish to `local` too ([`BothWays`](super::BothWays)).
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn beside_owners(
        url: &KafkaUrl,
        log: Arc<dyn LogReader>,
        local: Arc<Rings>,
    ) -> Result<Self, LogError> {
        let heads = find_heads(&*log).await?;
        let shared = Arc::new(KafkaFeedShared {
            url: url.clone(),
            store: log.store(),
            log,
            heads: heads.iter().map(|head| AtomicU64::new(head.n)).collect(),
            local,
            idle: Mutex::default(),
        });
        let refreshing = tokio::spawn(refresh(Arc::downgrade(&shared)));
        Ok(Self { shared, refreshing })
    }

    /// Leaves the groups of readers that are gone, so that the other consumers take over at once. Readers still open stay.
    pub async fn close(&self) {
        let sessions: Vec<Session> =
            self.shared.idle(|idle| idle.drain().map(|(_, (session, _))| session).collect());
        for session in sessions {
            session.close().await;
        }
    }
}

impl Drop for KafkaFeed {
    fn drop(&mut self) {
        self.refreshing.abort();
    }
}

#[async_trait]
impl Feed for KafkaFeed {
    async fn subscribe(&self, group: &str, seen: &Seen) -> Result<Box<dyn FeedReader>, LogError> {
        let shared = Arc::clone(&self.shared);
        let session = match shared.idle(|idle| idle.remove(group)) {
            Some((session, _)) => session,
            None => Session::open(&shared.url, group, shared.store.shards)
                .map_err(|error| LogError::Unavailable(format!("the feed can't be read: {error}")))?,
        };
        Ok(Box::new(KafkaReader::new(shared, group, session, seen)))
    }

    fn heads(&self) -> Vec<Position> {
        let head = |(shard, head): (u16, &AtomicU64)| Position { shard: Shard(shard), n: head.load(Relaxed) };
        (0..).zip(&self.shared.heads).map(head).collect()
    }

    fn is_shared(&self) -> bool {
        true
    }
}

/// Keeps the heads up, and lets go of consumers that nobody reads from.
async fn refresh(shared: Weak<KafkaFeedShared>) {
    let mut tick = tokio::time::interval(HEADS);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut tails: HashMap<Shard, u64> = HashMap::new();
    loop {
        tick.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let stale: Vec<Session> = shared.idle(|idle| {
            idle.extract_if(|_, (_, since)| since.elapsed() > LINGER)
                .map(|(_, (session, _))| session)
                .collect()
        });
        drop(stale);
        let shards = (0..shared.store.shards).map(Shard);
        let looks = shards.map(|shard| head(&*shared.log, shard, tails.get(&shard).copied()));
        for look in futures::future::join_all(looks).await {
            match look {
                Ok(Some((tail, head))) => {
                    tails.insert(head.shard, tail);
                    shared.decided(head);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "the log's heads can't be looked up; the lag may be greater than told");
                    break;
                }
            }
        }
    }
}

/// The shard's tail and head, when the tail is another one than before.
async fn head(
    log: &dyn LogReader,
    shard: Shard,
    before: Option<u64>,
) -> Result<Option<(u64, Position)>, LogError> {
    let tail = log.frame_of_position(Position { shard, n: u64::MAX }).await?;
    if before == Some(tail) { Ok(None) } else { Ok(Some((tail, log.head(shard).await?))) }
}
