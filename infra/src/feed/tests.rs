use std::time::Duration;

use domain::frame::Slot;
use domain::ports::feed::{FanOut, Feed, FeedEvent, FeedReader};
use domain::ports::log::EventLog as _;
use domain::position::Arrival;
use tempfile::tempdir;

use super::*;
use crate::sqlite::log::SqliteLog;
use crate::testing::{Chain, SHARDS, decide, open_log};

/// Whatever takes as long hangs.
const HANGS: Duration = Duration::from_secs(300);

async fn next(reader: &mut dyn FeedReader) -> Vec<FeedEvent> {
    tokio::time::timeout(HANGS, reader.next()).await.unwrap().unwrap()
}

/// Reads until `count` events came, checking that they come in order without a gap.
async fn read(reader: &mut dyn FeedReader, seen: &mut Seen, count: usize) {
    let mut got = 0;
    while got < count {
        for event in next(reader).await {
            assert_eq!(seen.arrival(event.position), Arrival::Next, "{}", event.position);
            seen.advance(event.position);
            got += 1;
        }
    }
    assert_eq!(got, count);
}

/// A feed whose rings keep one frame.
async fn small(log: &Arc<SqliteLog>) -> InProcessFeed {
    let heads = find_heads(&**log).await.unwrap();
    InProcessFeed { inner: Arc::new(FeedInner { log: log.clone(), rings: Rings::new(&heads, heads.len()) }) }
}

async fn nothing_comes(reader: &mut dyn FeedReader) {
    let waited = tokio::time::timeout(Duration::from_millis(50), reader.next()).await;
    assert!(waited.is_err(), "{waited:?}");
}

async fn decide_many(log: &SqliteLog, chains: &mut [Chain], frames: usize) -> Vec<Arc<DecidedFrame>> {
    let mut decided = Vec::new();
    for _ in 0..frames {
        for chain in chains.iter_mut() {
            decided.push(decide(log, chain.next(3)).await);
        }
    }
    decided
}

fn chains(log: &SqliteLog) -> Vec<Chain> {
    (0..SHARDS).map(|n| Chain::new(log, Shard(n))).collect()
}

// proves: P7
#[tokio::test]
async fn a_reader_gets_everything_once_in_order_from_the_log_and_then_live() {
    let dir = tempdir().unwrap();
    let log = open_log(dir.path());
    let mut chains = chains(&log);
    decide_many(&log, &mut chains, 40).await;

    let feed = InProcessFeed::open(log.clone()).await.unwrap();
    assert!(feed.heads().iter().all(|head| head.n == 120));
    let mut seen = Seen::none(SHARDS);
    let mut reader = feed.subscribe("test", &seen).await.unwrap();
    read(&mut *reader, &mut seen, 480).await;
    nothing_comes(&mut *reader).await;

    for frame in decide_many(&log, &mut chains, 20).await {
        feed.publish(frame.clone());
        feed.publish(frame);
    }
    read(&mut *reader, &mut seen, 240).await;
    nothing_comes(&mut *reader).await;

    // From the middle of a frame, which the ring holds; and from before everything that it holds.
    let mut later = Seen::none(SHARDS);
    later.advance(Position { shard: Shard(1), n: 128 });
    let mut reader = feed.subscribe("later", &later).await.unwrap();
    read(&mut *reader, &mut later, 720 - 128).await;
    assert_eq!(later, seen);
}

// proves: P7
#[tokio::test]
async fn frames_that_were_never_published_are_read_from_the_log() {
    let dir = tempdir().unwrap();
    let log = open_log(dir.path());
    let feed = InProcessFeed::open(log.clone()).await.unwrap();
    let mut seen = Seen::none(SHARDS);
    let mut reader = feed.subscribe("test", &seen).await.unwrap();
    let frames = decide_many(&log, &mut chains(&log), 9).await;
    for (index, frame) in frames.into_iter().enumerate() {
        if index % 3 == 0 {
            feed.publish(frame);
        }
    }
    let published: u64 = feed.heads().iter().map(|head| head.n).sum();
    assert!(published > 0);
    read(&mut *reader, &mut seen, usize::try_from(published).unwrap()).await;
    nothing_comes(&mut *reader).await;
}

#[tokio::test]
async fn a_slow_reader_holds_nobody_up_and_loses_nothing() {
    let dir = tempdir().unwrap();
    let log = open_log(dir.path());
    let feed = small(&log).await;
    let (mut seen, mut slow_seen) = (Seen::none(SHARDS), Seen::none(SHARDS));
    let mut reader = feed.subscribe("quick", &seen).await.unwrap();
    let mut slow = feed.subscribe("slow", &slow_seen).await.unwrap();
    let mut chain = [Chain::new(&log, Shard(3))];
    // Far more than a ring holds.
    for _ in 0..5 {
        for _ in 0..20 {
            feed.publish(decide(&log, chain[0].next(100)).await);
        }
        read(&mut *reader, &mut seen, 2000).await;
    }
    read(&mut *slow, &mut slow_seen, 10_000).await;
    assert_eq!(slow_seen, seen);
}

#[tokio::test]
async fn a_busy_shard_keeps_no_other_waiting() {
    let dir = tempdir().unwrap();
    let log = open_log(dir.path());
    let mut chains = chains(&log);
    decide(&log, chains[2].next(1)).await;
    for _ in 0..50 {
        decide(&log, chains[0].next(200)).await;
    }
    let feed = InProcessFeed::open(log.clone()).await.unwrap();
    let mut reader = feed.subscribe("test", &Seen::none(SHARDS)).await.unwrap();
    let first = next(&mut *reader).await;
    assert!(first.iter().any(|event| event.position.shard == Shard(2)));
    assert!(first.len() <= 2000);
}

#[tokio::test]
async fn a_call_that_is_cancelled_loses_nothing() {
    let dir = tempdir().unwrap();
    let log = open_log(dir.path());
    let mut chains = chains(&log);
    decide_many(&log, &mut chains, 30).await;
    let feed = InProcessFeed::open(log.clone()).await.unwrap();
    let mut seen = Seen::none(SHARDS);
    let mut reader = feed.subscribe("test", &seen).await.unwrap();
    for _ in 0..20 {
        // Polled once and dropped: in the middle of reading the log.
        tokio::select! {
            biased;
            batch = reader.next() => for event in batch.unwrap() {
                assert_eq!(seen.arrival(event.position), Arrival::Next);
                seen.advance(event.position);
            },
            () = std::future::ready(()) => {}
        }
    }
    let got: u64 = seen.positions().map(|p| p.n).sum();
    read(&mut *reader, &mut seen, usize::try_from(360 - got).unwrap()).await;
}

// proves: P7
#[tokio::test]
async fn a_frame_that_cannot_be_read_holds_up_its_own_shard_only() {
    let dir = tempdir().unwrap();
    let log = open_log(dir.path());
    let mut chains = chains(&log);
    decide_many(&log, &mut chains, 5).await;
    let sql = rusqlite::Connection::open(dir.path().join(crate::sqlite::log::LOG_FILE)).unwrap();
    // Frame 4 of shard 1.
    let slot = (1_i64 << 48) | 4;
    let broken = "UPDATE log SET bytes = substr(bytes, 1, length(bytes) - 1) WHERE slot = ?1";
    let bytes = log.read_slot(Slot { shard: Shard(1), frame: 4 }).await.unwrap().unwrap();
    assert_eq!(sql.execute(broken, [slot]).unwrap(), 1);

    let feed = InProcessFeed::open(log.clone()).await.unwrap();
    let mut seen = Seen::none(SHARDS);
    let mut reader = feed.subscribe("test", &seen).await.unwrap();
    // Three shards whole, and what comes before the broken frame.
    read(&mut *reader, &mut seen, 3 * 15 + 9).await;
    let told = tokio::time::timeout(HANGS, reader.next()).await.unwrap();
    assert!(matches!(told, Err(LogError::Corrupt(..))), "{told:?}");
    // New events of the others come, whether the broken one was just tried or not.
    for n in [0, 2, 3] {
        feed.publish(decide(&log, chains[n].next(2)).await);
        read(&mut *reader, &mut seen, 2).await;
    }
    // Once it can be read it goes on without a gap.
    sql.execute("UPDATE log SET bytes = ?2 WHERE slot = ?1", (slot, bytes)).unwrap();
    read(&mut *reader, &mut seen, 6).await;
}
