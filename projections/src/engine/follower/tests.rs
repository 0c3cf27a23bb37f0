use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use domain::position::{Seen, Shard, SyncToken};

use super::*;
use crate::engine::mark::Generation;
use crate::ordering::orders::Orders;

const NEVER: Duration = Duration::from_secs(3600);

/// Checkpoints in memory, told of only when `told` is rung.
struct Source {
    generation: AtomicU64,
    position: AtomicU64,
    applied: AtomicU64,
    reads: AtomicUsize,
    failing: AtomicUsize,
    told: Notify,
    pace: Pace,
}

impl Source {
    fn new(awaited: Duration) -> Arc<Self> {
        Arc::new(Self {
            generation: AtomicU64::new(1),
            position: AtomicU64::new(0),
            applied: AtomicU64::new(0),
            reads: AtomicUsize::new(0),
            failing: AtomicUsize::new(0),
            told: Notify::new(),
            pace: Pace { idle: NEVER, awaited },
        })
    }
}

#[async_trait]
impl Checkpoints for Source {
    async fn visible(&self) -> Result<Vec<Visible>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.failing.load(Ordering::SeqCst) > 0 {
            self.failing.fetch_sub(1, Ordering::SeqCst);
            return Err(StoreError::Unavailable("gone".into()));
        }
        let seen = Seen::up_to(&[at(self.position.load(Ordering::SeqCst))]);
        let generation = Generation::named(self.generation.load(Ordering::SeqCst).to_string());
        Ok(vec![
            Visible::readable("orders", Mark { generation, seen }),
            Visible::readable("others", Mark::none(1)),
        ])
    }

    async fn visible_now(&self) -> Result<Vec<Visible>, StoreError> {
        self.position.store(self.applied.load(Ordering::SeqCst), Ordering::SeqCst);
        self.visible().await
    }

    async fn changed(&self) {
        self.told.notified().await;
    }

    fn pace(&self) -> Pace {
        self.pace
    }
}

fn at(n: u64) -> Position {
    Position { shard: Shard(0), n }
}

fn follow(source: &Arc<Source>) -> (Follower, Watermark, CancellationToken) {
    let shutdown = CancellationToken::new();
    let orders: Arc<dyn Projection> = Arc::new(Orders);
    let follower = Follower::start(source.clone(), &[orders], 1, shutdown.clone());
    let mark = follower.watermark("orders").unwrap();
    (follower, mark, shutdown)
}

// proves: QRY-1
#[tokio::test(start_paused = true)]
async fn a_change_that_is_told_moves_the_watermark_at_once() {
    let source = Source::new(NEVER);
    let (follower, mark, shutdown) = follow(&source);
    for n in 1..=20 {
        let waiting = tokio::spawn({
            let mark = mark.clone();
            async move { mark.wait_for(&SyncToken::of(at(n)), NEVER / 2).await }
        });
        while !mark.is_awaited() {
            tokio::task::yield_now().await;
        }
        source.position.store(n, Ordering::SeqCst);
        source.applied.store(n, Ordering::SeqCst);
        source.told.notify_one();
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }
    let reads = source.reads.load(Ordering::SeqCst);
    assert!(reads <= 21 + 1, "{reads} reads for 20 changes");
    shutdown.cancel();
    follower.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_shows_on_demand_is_read_as_soon_as_a_query_waits() {
    let source = Source::new(Duration::from_millis(20));
    let (_follower, mark, _shutdown) = follow(&source);
    source.applied.store(3, Ordering::SeqCst);
    let before = Instant::now();
    mark.wait_for(&SyncToken::of(at(3)), NEVER / 2).await.unwrap();
    assert!(before.elapsed() <= Duration::from_millis(20));
    // Nobody waits: nothing is read.
    let reads = source.reads.load(Ordering::SeqCst);
    tokio::time::sleep(NEVER / 2).await;
    assert!(source.reads.load(Ordering::SeqCst) <= reads + 1);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_fails_is_told_and_repeated() {
    let source = Source::new(NEVER);
    source.failing.store(3, Ordering::SeqCst);
    source.position.store(1, Ordering::SeqCst);
    source.applied.store(1, Ordering::SeqCst);
    let (follower, mark, shutdown) = follow(&source);
    while source.reads.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let status = follower.status(&[at(4)]).await.remove(0);
    assert_eq!(
        (status.name, status.lag_events, &status.state),
        ("orders", 4, &State::Retrying { reason: "read storage is unavailable: gone".into() })
    );
    mark.wait_for(&SyncToken::of(at(1)), NEVER / 2).await.unwrap();
    while source.failing.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
    let status = follower.status(&[at(4)]).await.remove(0);
    assert_eq!((status.lag_events, &status.state), (3, &State::Running));
    shutdown.cancel();
    follower.stopped().await;
    assert!(matches!(follower.status(&[]).await[0].state, State::Stopped { .. }));
}

/// Rows begun anew, or put back to an older state: queries wait again, and the lag is told.
// proves: QRY-1
#[tokio::test(start_paused = true)]
async fn a_read_model_that_starts_again_lower_is_noticed() {
    let source = Source::new(NEVER);
    let (follower, mark, _shutdown) = follow(&source);
    for (generation, lower) in [(2, 0), (2, 4), (3, 0)] {
        let stored = |position| {
            source.position.store(position, Ordering::SeqCst);
            source.applied.store(position, Ordering::SeqCst);
            source.told.notify_one();
        };
        stored(9);
        mark.wait_for(&SyncToken::of(at(9)), NEVER / 2).await.unwrap();
        let mut told = mark.subscribe();
        source.generation.store(generation, Ordering::SeqCst);
        stored(lower);
        told.wait_for(|mark| mark.seen.last(Shard(0)) == lower).await.unwrap();
        assert_eq!(mark.mark().generation.to_string(), generation.to_string());
        let status = follower.status(&[at(9)]).await.remove(0);
        assert_eq!(u64::try_from(status.lag_events), Ok(9 - lower));
        let early = mark.wait_for(&SyncToken::of(at(9)), Duration::from_millis(50)).await;
        assert!(early.is_err(), "rows at {lower} were taken for rows at 9");
    }
}
