//! What Kafka loses, consumers read from the log; what a group shares is neither lost nor held up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ports::feed::FanOut as _;
use domain::position::{Position, Seen, Shard};
use infra::feed::find_heads;
use infra::feed::ring::Rings;
use infra::kafka::{self, KafkaFeed};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use tests::contract::feed::{Consumer, SHARDS, Store};
use tests::contract::read_store::origin::copies;
use tests::engines::engines;
use uuid::Uuid;

use super::world::{WAIT, World, cut, delete};

// proves: P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_deleted_in_the_middle_costs_consumers_nothing() {
    let mut store = Store::new();
    let world = World::start(store.log.clone()).await;
    let mut consumer = Consumer::open(&*world.feed, "test", Seen::none(SHARDS)).await;
    for round in 0..12 {
        let frames = store.decide_everywhere(5).await;
        world.publish(frames);
        if round % 4 == 2 {
            // Half read, and nothing of what follows.
            consumer.next().await;
            world.published(&store.heads()).await;
            delete(&world.url).await;
        }
        if round % 4 != 2 {
            consumer.read_to(&store.heads()).await;
        }
    }
    consumer.read_to(&store.heads()).await;
    drop(consumer);
    world.published(&store.heads()).await;
    world.end().await;
}

/// Decides, publishes and reads until the consumer has got new events of each of these shards through Kafka: only such are committed.
async fn read_through_kafka(store: &mut Store, world: &World, consumer: &mut Consumer, shards: [Shard; 2]) {
    let topic = world.url.topic();
    let observer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &engines().kafka)
        .set("group.id", format!("{topic}.test"))
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for shard in shards {
        list.add_partition(topic, i32::from(shard.0));
    }
    let before = store.heads();
    let through_kafka = async {
        loop {
            let frames = store.decide_everywhere(1).await;
            world.publish(frames);
            // What Kafka has brought meanwhile the consumer takes before it looks at the log, which else may be faster every time.
            tokio::time::sleep(Duration::from_millis(200)).await;
            consumer.read_to(&store.heads()).await;
            let committed = observer.committed_offsets(list.clone(), Duration::from_secs(5));
            let Ok(committed) = committed else { continue };
            // Nothing repeats in the topic: the offset after an event is the event's position.
            let last =
                |shard: Shard| match committed.find_partition(topic, i32::from(shard.0)).unwrap().offset() {
                    Offset::Offset(next) => u64::try_from(next).unwrap(),
                    _ => 0,
                };
            if shards.into_iter().all(|shard| last(shard) > before.last(shard)) {
                return;
            }
        }
    };
    tokio::time::timeout(WAIT, through_kafka).await.expect("Kafka brings events");
}

/// Retention passes a consumer that has stood still: in one shard up to the middle of what it lacks, in another up to the end.
// proves: P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_has_passed_is_read_from_the_log() {
    // A consumer's driver fetches 16 MiB ahead, and a little more. In each of the two shards more than that is cut; and it is noise, since
    // what can be compressed takes less on the way.
    const EVENT: usize = 256 << 10;
    const FRAMES: u64 = 24;
    const KEPT: u64 = 8;
    let shards @ [middle, end] = [Shard(1), Shard(2)];
    let mut store = Store::new();
    let world = World::start(store.log.clone()).await;
    let mut consumer = Consumer::open(&*world.feed, "test", Seen::none(SHARDS)).await;
    read_through_kafka(&mut store, &world, &mut consumer, shards).await;

    let noise: String = (0..EVENT / 32).map(|_| Uuid::new_v4().simple().to_string()).collect();
    store.note(&noise);
    for _ in 0..FRAMES {
        for shard in shards {
            let frame = store.decide(shard, 4).await;
            world.publish(vec![frame]);
        }
    }
    store.note("");
    let heads = store.heads();
    world.published(&heads).await;
    let kept = i64::try_from(heads.last(middle) - KEPT).unwrap();
    cut(&world.url, &[(middle, Offset::Offset(kept)), (end, Offset::End)]).await;
    let left = kafka::heads(&world.url, store.log.store()).await.unwrap();
    assert_eq!(shards.map(|shard| left[usize::from(shard.0)].records), [KEPT, 0]);

    consumer.read_to(&heads).await;
    // What is published from now on comes through Kafka again.
    read_through_kafka(&mut store, &world, &mut consumer, shards).await;
    assert_eq!(consumer.repeats, 0, "every event came once");
    drop(consumer);
    world.published(&store.heads()).await;
    world.end().await;
}

/// Nobody publishes: the consumers see it all the same.
// proves: P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_stalls_stalls_no_consumer() {
    let mut store = Store::new();
    let world = World::start(store.log.clone()).await;
    let mut consumer = Consumer::open(&*world.feed, "test", Seen::none(SHARDS)).await;
    let frames = store.decide_everywhere(2).await;
    world.publish(frames);
    consumer.read_to(&store.heads()).await;
    for _ in 0..3 {
        store.decide_everywhere(3).await;
        consumer.read_to(&store.heads()).await;
    }
    drop(consumer);
    world.end().await;
}

/// Kafka was never there.
// proves: P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_kafka_the_log_is_read() {
    let mut store = Store::new();
    let url = "kafka://127.0.0.1:9/nowhere".parse().unwrap();
    let feed = KafkaFeed::open(&url, store.log.clone()).await.unwrap();
    store.decide_everywhere(3).await;
    let mut consumer = Consumer::open(&feed, "test", Seen::none(SHARDS)).await;
    consumer.read_to(&store.heads()).await;
    store.decide_everywhere(3).await;
    consumer.read_to(&store.heads()).await;
}

/// Reads until the consumers of one group have everything, together.
async fn read_together(consumers: &mut [Consumer], heads: &Seen) {
    let reached = async {
        while !heads.positions().all(|head| consumers.iter().any(|c| c.seen.last(head.shard) == head.n)) {
            glance_at_each(consumers).await;
        }
    };
    tokio::time::timeout(WAIT, reached).await.expect("the group gets everything");
}

async fn glance_at_each(consumers: &mut [Consumer]) {
    for consumer in consumers {
        consumer.glance(Duration::from_millis(20)).await;
    }
}

/// Sees what comes within so long.
async fn watch(consumers: &mut [Consumer], wait: Duration) {
    let until = Instant::now() + wait;
    while Instant::now() < until {
        glance_at_each(consumers).await;
    }
}

/// What each has seen.
fn seen_by(consumers: &[Consumer]) -> Vec<Seen> {
    consumers.iter().map(|consumer| consumer.seen.clone()).collect()
}

/// How many have seen nothing more.
fn idle_since(consumers: &[Consumer], before: &[Seen]) -> usize {
    consumers.iter().zip(before).filter(|(consumer, before)| consumer.seen == **before).count()
}

fn shares(pair: &[Consumer; 2], before: &[Seen; 2]) -> [usize; 2] {
    let moved = |n: usize| {
        let shards = (0..SHARDS).map(Shard);
        shards.filter(|shard| pair[n].seen.last(*shard) > before[n].last(*shard)).count()
    };
    [moved(0), moved(1)]
}

/// What the checkpoints of the two would say, to both.
fn share_checkpoints(pair: &mut [Consumer; 2]) {
    let mut both = Seen::none(SHARDS);
    for shard in (0..SHARDS).map(Shard) {
        let n = pair[0].seen.last(shard).max(pair[1].seen.last(shard));
        both.advance(Position { shard, n });
    }
    pair.iter_mut().for_each(|consumer| consumer.seen = both.clone());
}

// proves: P7, OPS-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_consumers_of_a_group_share_the_shards_and_one_that_leaves_is_replaced() {
    let mut store = Store::new();
    let world = World::start(store.log.clone()).await;
    let other = Arc::new(KafkaFeed::open(&world.url, store.log.clone()).await.unwrap());
    let mut pair = [
        Consumer::open(&*world.feed, "test", Seen::none(SHARDS)).await,
        Consumer::open(&*other, "test", Seen::none(SHARDS)).await,
    ];
    // Until both have their part.
    let shared = async {
        loop {
            let before = [pair[0].seen.clone(), pair[1].seen.clone()];
            let frames = store.decide_everywhere(1).await;
            world.publish(frames);
            read_together(&mut pair, &store.heads()).await;
            if shares(&pair, &before) == [2, 2] {
                return;
            }
        }
    };
    tokio::time::timeout(WAIT, shared).await.expect("each gets half");

    // One leaves; the other brings everything, without a gap: what it hasn't seen of the other's shards comes from the log.
    let [mut stays, leaves] = pair;
    drop(leaves);
    other.close().await;
    for _ in 0..10 {
        let frames = store.decide_everywhere(2).await;
        world.publish(frames);
        stays.read_to(&store.heads()).await;
    }

    // A third one comes, and the work goes on.
    let mut pair = [stays, Consumer::open(&*other, "test", store.heads()).await];
    for _ in 0..20 {
        let frames = store.decide_everywhere(1).await;
        world.publish(frames);
        read_together(&mut pair, &store.heads()).await;
    }
    share_checkpoints(&mut pair);
    drop(pair);
    other.close().await;
    world.end().await;
}

/// A consumer with no partition of its own waits; it doesn't read what another has.
// proves: OPS-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_too_many_reads_nothing() {
    let mut store = Store::new();
    let world = World::start(store.log.clone()).await;
    let mut feeds = Vec::new();
    let mut consumers = Vec::new();
    for _ in 0..=SHARDS {
        let feed = KafkaFeed::open(&world.url, store.log.clone()).await.unwrap();
        consumers.push(Consumer::open(&feed, "test", Seen::none(SHARDS)).await);
        feeds.push(feed);
    }
    // Until the group has settled.
    let settled = async {
        loop {
            let before = seen_by(&consumers);
            let frames = store.decide_everywhere(1).await;
            world.publish(frames);
            read_together(&mut consumers, &store.heads()).await;
            if idle_since(&consumers, &before) == 1 {
                return;
            }
        }
    };
    tokio::time::timeout(WAIT, settled).await.expect("all but one have a shard");
    // Nothing tells that something won't happen. This is long enough for a consumer without a partition to take the group for broken, if
    // it did; …
    watch(&mut consumers, Duration::from_secs(9)).await;
    let before = seen_by(&consumers);
    let frames = store.decide_everywhere(5).await;
    world.publish(frames);
    read_together(&mut consumers, &store.heads()).await;
    // … and this for it to look at the log, if it did.
    watch(&mut consumers, Duration::from_secs(3)).await;
    assert_eq!(idle_since(&consumers, &before), 1, "one has no shard, the others have one each");
    drop(consumers);
    for feed in &feeds {
        feed.close().await;
    }
    world.end().await;
}

/// What the owners of a process decide reaches its readers as it is, before Kafka or the log could tell: here neither ever does.
// proves: P7, OPS-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_beside_the_owners_need_no_way_through_kafka() {
    let copies = copies().await;
    let world = World::start(copies.older.clone()).await;
    let older = Seen::up_to(&find_heads(&*copies.older).await.unwrap());
    let newer = Seen::up_to(&copies.history.heads());
    let heads: Vec<Position> = older.positions().collect();
    let local = Arc::new(Rings::new(&heads, 1 << 20));
    let beside = KafkaFeed::beside_owners(&world.url, copies.older.clone(), Arc::clone(&local));
    let beside = beside.await.unwrap();
    let mut consumer = Consumer::open(&beside, "test", older.clone()).await;
    let decided = copies.history.frames.iter().filter(|frame| {
        frame.header.last_position() > older.last(frame.header.slot.shard) && !frame.events.is_empty()
    });
    decided.cloned().for_each(|frame| local.publish(frame));
    consumer.read_to(&newer).await;
    assert_eq!(consumer.repeats, 0);
    drop(consumer);
    beside.close().await;
    world.end().await;
}
