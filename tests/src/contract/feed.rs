//! The contract of the feed's port. [`feed_contract!`](crate::feed_contract) makes a test of every case; the cases are generic over a
//! [`FeedFactory`], so that every backend passes the same ones.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::frame::DecidedFrame;
use domain::ports::feed::{FanOut, Feed, FeedEvent, FeedReader};
use domain::ports::log::EventLog;
use domain::position::{Arrival, Position, Seen, Shard};
use domain::stream::StreamId;
use infra::sqlite::log::SqliteLog;
use tempfile::TempDir;

use super::chain::Chain;

/// The shards of a case's store.
pub const SHARDS: u16 = 4;
/// The longest wait for an event that must come.
const WAIT: Duration = crate::shop::SETTLES_WITHIN;

/// Makes the feed of one store.
#[async_trait]
pub trait FeedFactory: Send + Sync {
    /// The feed of an owner's process over a log, new to it.
    async fn start(&self, log: Arc<dyn EventLog>) -> Box<dyn FeedBackend>;
}

/// A running feed, from both sides.
#[async_trait]
pub trait FeedBackend: Send + Sync {
    /// The owner's side.
    fn fan_out(&self) -> Arc<dyn FanOut>;

    /// The consumers' side.
    fn feed(&self) -> Arc<dyn Feed>;

    /// Ends it, and removes what it made.
    async fn stop(self: Box<Self>);
}

/// A store with a chain of frames for each shard.
pub struct Store {
    /// Its log.
    pub log: Arc<dyn EventLog>,
    chains: Vec<(Chain, StreamId)>,
    _dir: TempDir,
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log: Arc<dyn EventLog> = Arc::new(SqliteLog::open(dir.path(), SHARDS).unwrap());
        let chain = |shard| {
            let chain = Chain::new(&*log, shard);
            let stream = chain.stream();
            (chain, stream)
        };
        let chains = (0..SHARDS).map(Shard).map(chain).collect();
        Self { log, chains, _dir: dir }
    }

    /// Decides one frame of so many events.
    pub async fn decide(&mut self, shard: Shard, events: u64) -> Arc<DecidedFrame> {
        let (chain, stream) = &mut self.chains[usize::from(shard.0)];
        chain.decide(&*self.log, &[(&*stream, events)]).await
    }

    /// Decides so many frames of three events in every shard.
    pub async fn decide_everywhere(&mut self, frames: usize) -> Vec<Arc<DecidedFrame>> {
        let mut decided = Vec::new();
        for _ in 0..frames {
            for shard in (0..SHARDS).map(Shard) {
                decided.push(self.decide(shard, 3).await);
            }
        }
        decided
    }

    /// Further events say this.
    pub fn note(&mut self, note: &str) {
        for (chain, _) in &mut self.chains {
            note.clone_into(&mut chain.note);
        }
    }

    /// Decides a frame without events in the next epoch, as a new owner does.
    pub async fn fence(&mut self, shard: Shard) -> Arc<DecidedFrame> {
        let (chain, _) = &mut self.chains[usize::from(shard.0)];
        chain.tail.epoch += 1;
        chain.decide(&*self.log, &[]).await
    }

    /// The last decided positions.
    #[must_use]
    pub fn heads(&self) -> Seen {
        let mut seen = Seen::none(SHARDS);
        for (shard, (chain, _)) in (0..).map(Shard).zip(&self.chains) {
            seen.advance(Position { shard, n: chain.tail.head() });
        }
        seen
    }
}

/// A consumer that applies P7 and insists on what this port's readers promise beyond it: they leave no gap themselves.
pub struct Consumer {
    reader: Box<dyn FeedReader>,
    /// What it has seen.
    pub seen: Seen,
    /// How many events came again.
    pub repeats: usize,
}

impl Consumer {
    /// Subscribes.
    pub async fn open(feed: &dyn Feed, group: &str, seen: Seen) -> Self {
        Self { reader: feed.subscribe(group, &seen).await.unwrap(), seen, repeats: 0 }
    }

    /// Takes events as P7 says.
    pub fn take(&mut self, events: Vec<FeedEvent>) {
        assert!(!events.is_empty(), "a reader waits for at least one event");
        for event in events {
            // EVT-7: what a checkpoint is compared by later.
            assert!(event.frame.is_some(), "{} came without its frame", event.position);
            match self.seen.arrival(event.position) {
                Arrival::Next => self.seen.advance(event.position),
                Arrival::Repeat => self.repeats += 1,
                Arrival::Gap { last } => panic!("{} came after {last}", event.position),
            }
        }
    }

    /// Waits for the next events.
    pub async fn next(&mut self) {
        let next = tokio::time::timeout(WAIT, self.reader.next()).await;
        let events = next.unwrap_or_else(|_| panic!("nothing came after {:?}", self.seen)).unwrap();
        self.take(events);
    }

    /// What comes within so long, if anything; the call is cancelled then.
    pub async fn glance(&mut self, wait: Duration) -> bool {
        match tokio::time::timeout(wait, self.reader.next()).await {
            Ok(events) => {
                self.take(events.unwrap());
                true
            }
            Err(_) => false,
        }
    }

    /// Reads until it has seen exactly these positions.
    pub async fn read_to(&mut self, heads: &Seen) {
        while self.seen != *heads {
            self.next().await;
        }
    }
}

async fn publish(backend: &dyn FeedBackend, frames: Vec<Arc<DecidedFrame>>) {
    let fan_out = backend.fan_out();
    frames.into_iter().for_each(|frame| fan_out.publish(frame));
}

// proves: P7
/// What was decided before comes first, then what is published, each event once, in the order of its shard.
pub async fn history_comes_first_and_then_the_present_in_order(factory: &dyn FeedFactory) {
    let mut store = Store::new();
    store.decide_everywhere(50).await;
    let backend = factory.start(store.log.clone()).await;
    let mut consumer = Consumer::open(&*backend.feed(), "test", Seen::none(SHARDS)).await;
    consumer.read_to(&store.heads()).await;
    for _ in 0..20 {
        let frames = store.decide_everywhere(2).await;
        publish(&*backend, frames).await;
        consumer.read_to(&store.heads()).await;
    }
    assert!(!consumer.glance(Duration::from_millis(100)).await, "nothing else is there");
    drop(consumer);
    backend.stop().await;
}

// proves: P7
/// From whatever position a reader starts, nothing after it is skipped.
pub async fn nothing_is_skipped_from_any_position(factory: &dyn FeedFactory) {
    let mut store = Store::new();
    store.decide_everywhere(5).await;
    let backend = factory.start(store.log.clone()).await;
    let frames = store.decide_everywhere(5).await;
    publish(&*backend, frames).await;
    for n in 0..=30 {
        let mut seen = Seen::none(SHARDS);
        for shard in 0..SHARDS {
            seen.advance(Position { shard: Shard(shard), n: (n + u64::from(shard) * 7) % 31 });
        }
        let mut consumer = Consumer::open(&*backend.feed(), "test", seen).await;
        consumer.read_to(&store.heads()).await;
    }
    backend.stop().await;
}

// proves: P7
/// A frame that is published again, as after a change of owner, does no harm; one that never was comes with the next.
pub async fn repeated_and_missing_publications_do_no_harm(factory: &dyn FeedFactory) {
    let mut store = Store::new();
    let backend = factory.start(store.log.clone()).await;
    let mut consumer = Consumer::open(&*backend.feed(), "test", Seen::none(SHARDS)).await;
    let frames = store.decide_everywhere(30).await;
    let last = frames.len() - usize::from(SHARDS);
    for (at, frame) in frames.iter().enumerate() {
        if at % 5 != 0 || at >= last {
            backend.fan_out().publish(frame.clone());
        }
        if at % 3 == 0 && at >= 8 {
            backend.fan_out().publish(frames[at - 8].clone());
        }
    }
    consumer.read_to(&store.heads()).await;
    drop(consumer);
    backend.stop().await;
}

// proves: P7
/// A change of owner, which is a frame without events, and a new epoch.
pub async fn a_change_of_owner_is_passed_over(factory: &dyn FeedFactory) {
    let mut store = Store::new();
    let backend = factory.start(store.log.clone()).await;
    let mut consumer = Consumer::open(&*backend.feed(), "test", Seen::none(SHARDS)).await;
    for _ in 0..3 {
        for shard in (0..SHARDS).map(Shard) {
            let fence = store.fence(shard).await;
            publish(&*backend, vec![fence]).await;
        }
        let frames = store.decide_everywhere(4).await;
        publish(&*backend, frames).await;
        consumer.read_to(&store.heads()).await;
    }
    drop(consumer);
    backend.stop().await;
}

// proves: P6
/// Who opens a reader again goes on where it says, not where the reader before was.
pub async fn a_reader_opened_again_resumes_where_it_is_told(factory: &dyn FeedFactory) {
    let mut store = Store::new();
    let backend = factory.start(store.log.clone()).await;
    let mut seen = Seen::none(SHARDS);
    for _ in 0..10 {
        let frames = store.decide_everywhere(3).await;
        publish(&*backend, frames).await;
        let mut consumer = Consumer::open(&*backend.feed(), "test", seen.clone()).await;
        consumer.read_to(&store.heads()).await;
        drop(consumer);
        // The checkpoint is lost half of the time.
        let mut consumer = Consumer::open(&*backend.feed(), "test", seen.clone()).await;
        consumer.next().await;
        seen = consumer.seen;
    }
    let mut consumer = Consumer::open(&*backend.feed(), "test", seen).await;
    consumer.read_to(&store.heads()).await;
    drop(consumer);
    backend.stop().await;
}

// proves: EVT-4, P7
/// Two groups get everything each.
pub async fn groups_are_independent(factory: &dyn FeedFactory) {
    let mut store = Store::new();
    let backend = factory.start(store.log.clone()).await;
    let mut one = Consumer::open(&*backend.feed(), "one", Seen::none(SHARDS)).await;
    let mut two = Consumer::open(&*backend.feed(), "two", Seen::none(SHARDS)).await;
    for _ in 0..5 {
        let frames = store.decide_everywhere(5).await;
        publish(&*backend, frames).await;
        one.read_to(&store.heads()).await;
    }
    two.read_to(&store.heads()).await;
    drop((one, two));
    backend.stop().await;
}

// proves: EVT-4, P7
/// A consumer that doesn't read holds nobody up, and loses nothing.
pub async fn a_slow_consumer_holds_nobody_up_and_loses_nothing(factory: &dyn FeedFactory) {
    let mut store = Store::new();
    let backend = factory.start(store.log.clone()).await;
    let mut slow = Consumer::open(&*backend.feed(), "slow", Seen::none(SHARDS)).await;
    let mut quick = Consumer::open(&*backend.feed(), "quick", Seen::none(SHARDS)).await;
    for shard in [1, 3, 1] {
        for _ in 0..20 {
            let frame = store.decide(Shard(shard), 200).await;
            publish(&*backend, vec![frame]).await;
        }
        quick.read_to(&store.heads()).await;
    }
    slow.read_to(&store.heads()).await;
    drop((slow, quick));
    backend.stop().await;
}

// proves: P7
/// A call that is cancelled takes nothing with it.
pub async fn cancelled_calls_lose_nothing(factory: &dyn FeedFactory) {
    let mut store = Store::new();
    store.decide_everywhere(10).await;
    let backend = factory.start(store.log.clone()).await;
    let mut consumer = Consumer::open(&*backend.feed(), "test", Seen::none(SHARDS)).await;
    for round in 0..100 {
        let frames = store.decide_everywhere(1).await;
        publish(&*backend, frames).await;
        for micros in [0, 50, 500, 100 * round] {
            consumer.glance(Duration::from_micros(micros)).await;
        }
    }
    consumer.read_to(&store.heads()).await;
    drop(consumer);
    backend.stop().await;
}

// proves: OPS-3
/// The heads that the feed tells reach what was published.
pub async fn heads_follow_what_is_published(factory: &dyn FeedFactory) {
    let mut store = Store::new();
    store.decide_everywhere(2).await;
    let backend = factory.start(store.log.clone()).await;
    let told = |feed: &dyn Feed| Seen::up_to(&feed.heads());
    assert_eq!(told(&*backend.feed()), store.heads(), "what was decided before");
    let frames = store.decide_everywhere(2).await;
    publish(&*backend, frames).await;
    let reached = async {
        while told(&*backend.feed()) != store.heads() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WAIT, reached).await.unwrap();
    backend.stop().await;
}

/// Makes a test of every case of the contract. `$factory` is an expression for a new [`FeedFactory`].
#[macro_export]
macro_rules! feed_contract {
    ($factory:expr) => {
        $crate::feed_contract!(@cases $factory;
            history_comes_first_and_then_the_present_in_order,
            nothing_is_skipped_from_any_position,
            repeated_and_missing_publications_do_no_harm,
            a_change_of_owner_is_passed_over,
            a_reader_opened_again_resumes_where_it_is_told,
            groups_are_independent,
            a_slow_consumer_holds_nobody_up_and_loses_nothing,
            cancelled_calls_lose_nothing,
            heads_follow_what_is_published
        );
    };
    (@cases $factory:expr; $($case:ident),+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::contract::feed::$case(&$factory).await;
            }
        )+
    };
}
