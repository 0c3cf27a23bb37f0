//! No publisher, and no two of them, leave a gap in the topic.

use std::sync::Arc;

use domain::ports::feed::FanOut;
use domain::position::{Seen, Shard};
use infra::kafka::KafkaPublisher;
use tests::contract::feed::{Consumer, SHARDS, Store};
use tests::faults::{Call, CallFault, FaultyLog};
use tokio_util::sync::CancellationToken;

use super::world::{WAIT, World, delete, limit_records};

/// Waits until the log says that everything is published.
async fn progress(world: &World, store: &Store) {
    let reached = async {
        for shard in (0..SHARDS).map(Shard) {
            let tail =
                store.log.frame_of_position(domain::position::Position { shard, n: u64::MAX }).await.unwrap();
            while world.log.progress(shard).await.unwrap().published_through + 1 < tail {
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::time::timeout(WAIT, reached).await.expect("published_through follows");
}

// proves: P6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_starts_again_leaves_no_gap_and_repeats_nothing() {
    let mut store = Store::new();
    let mut world = World::start(store.log.clone()).await;
    for round in 0..4 {
        for shard in (0..SHARDS).map(Shard) {
            let fence = store.fence(shard).await;
            world.publish(vec![fence]);
        }
        let frames = store.decide_everywhere(20).await;
        world.publish(frames);
        if round % 2 == 0 {
            world.published(&store.heads()).await;
        }
        world.stop.cancel();
        world.publisher.stopped().await;
        // Decided by another owner, which ended before it had published anything.
        store.decide_everywhere(2).await;
        world.stop = CancellationToken::new();
        world.publisher = KafkaPublisher::start(&world.url, world.log.clone(), world.stop.clone()).unwrap();
        world.fan_out = world.publisher.clone();
    }
    for shard in (0..SHARDS).map(Shard) {
        let fence = store.fence(shard).await;
        world.publish(vec![fence]);
    }
    world.published(&store.heads()).await;
    progress(&world, &store).await;
    assert_eq!(world.assert_no_gap(&store.heads(), 1).await, 0);
    world.end().await;
}

// proves: P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_publishers_at_once_leave_no_gap() {
    let mut store = Store::new();
    let world = World::start(store.log.clone()).await;
    let stop = CancellationToken::new();
    let second = KafkaPublisher::start(&world.url, world.log.clone(), stop.clone()).unwrap();
    let mut consumer = Consumer::open(&*world.feed, "test", Seen::none(SHARDS)).await;
    for round in 0..60 {
        for frame in store.decide_everywhere(3).await {
            // Each misses some, and begins anew now and then.
            if round % 7 != 0 {
                world.publisher.publish(frame.clone());
            }
            if round % 5 != 0 && round > 10 {
                second.publish(frame);
            }
        }
        if round % 20 == 10 {
            for shard in (0..SHARDS).map(Shard) {
                let fence = store.fence(shard).await;
                world.publisher.publish(Arc::clone(&fence));
                second.publish(fence);
            }
        }
    }
    consumer.read_to(&store.heads()).await;
    world.published(&store.heads()).await;
    // One that is late begins after what the other has published; once both go on from one frame to the next, records repeat.
    let both = async {
        while world.assert_no_gap(&store.heads(), 1).await == 0 {
            for frame in store.decide_everywhere(3).await {
                world.publisher.publish(frame.clone());
                second.publish(frame);
            }
            world.published(&store.heads()).await;
        }
    };
    tokio::time::timeout(WAIT, both).await.expect("both publish");
    stop.cancel();
    second.stopped().await;
    world.assert_no_gap(&store.heads(), 1).await;
    drop(consumer);
    world.end().await;
}

// proves: P6, P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_kafka_refuses_hold_their_shard_up_and_leave_no_gap() {
    let mut store = Store::new();
    let world = World::start(store.log.clone()).await;
    let mut consumer = Consumer::open(&*world.feed, "test", Seen::none(SHARDS)).await;
    let frames = store.decide_everywhere(5).await;
    world.publish(frames);
    world.published(&store.heads()).await;
    // No record is as small as this.
    limit_records(&world.url, "100").await;
    let before = store.heads();
    for _ in 0..10 {
        let frames = store.decide_everywhere(3).await;
        world.publish(frames);
    }
    // The consumers don't mind.
    consumer.read_to(&store.heads()).await;
    world.published(&before).await;
    limit_records(&world.url, "2097152").await;
    let frames = store.decide_everywhere(3).await;
    world.publish(frames);
    consumer.read_to(&store.heads()).await;
    world.published(&store.heads()).await;
    world.assert_no_gap(&store.heads(), 1).await;
    drop(consumer);
    world.end().await;
}

// proves: P6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_that_panics_begins_anew() {
    let mut store = Store::new();
    let log = FaultyLog::new(store.log.clone());
    let world = World::start(log.clone()).await;
    log.inject_in(Call::ReadFrames, [CallFault::Panics]);
    // Never handed to the publisher, so it has to read them.
    store.decide_everywhere(3).await;
    let frames = store.decide_everywhere(3).await;
    world.publish(frames);
    log.fault_met().await;
    world.published(&store.heads()).await;
    assert_eq!(world.assert_no_gap(&store.heads(), 1).await, 0);
    world.end().await;
}

// proves: P6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_deleted_is_made_anew_and_goes_on_after_what_was_published() {
    let mut store = Store::new();
    let world = World::start(store.log.clone()).await;
    let frames = store.decide_everywhere(5).await;
    world.publish(frames);
    progress(&world, &store).await;
    delete(&world.url).await;
    let frames = store.decide_everywhere(5).await;
    world.publish(frames);
    world.published(&store.heads()).await;
    progress(&world, &store).await;
    world.assert_no_gap(&store.heads(), 16).await;
    world.end().await;
}

// proves: P6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_whose_frames_come_too_fast_is_published_from_the_log() {
    let mut store = Store::new();
    let world = World::start(store.log.clone()).await;
    // The inbox holds a quarter of 64 MiB, a frame of these takes a third of a mebibyte.
    let mut frames = Vec::new();
    for _ in 0..80 {
        frames.push(store.decide(Shard(2), 1000).await);
    }
    world.publish(frames);
    world.published(&store.heads()).await;
    assert_eq!(world.assert_no_gap(&store.heads(), 1).await, 0);
    world.end().await;
}
