//! The topic itself, and what stands in it.

use domain::event::wire_time;
use domain::position::Seen;
use infra::kafka::{self, Error};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use tests::contract::feed::{Consumer, SHARDS, Store};
use tests::engines::engines;

use super::world::{WAIT, World, delete, fresh_url};

// proves: EVT-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_with_another_number_of_partitions_is_refused() {
    let url = fresh_url();
    kafka::migrate(&url, 3).await.unwrap();
    kafka::migrate(&url, 3).await.unwrap();
    let refused = kafka::migrate(&url, 4).await.unwrap_err();
    assert_eq!(refused, Error::Partitions { topic: url.topic().to_owned(), wanted: 4, found: 3 });
    delete(&url).await;
}

/// What any consumer sees that knows nothing of Tillstream.
// proves: EVT-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_cloud_events() {
    let mut store = Store::new();
    let world = World::start(store.log.clone()).await;
    let frame = store.decide(domain::position::Shard(1), 2).await;
    world.publish(vec![frame.clone()]);
    world.published(&store.heads()).await;
    let topic = world.url.topic().to_owned();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &engines().kafka)
        .set("group.id", format!("{topic}.raw"))
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 1, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let message = consumer.poll(WAIT).unwrap().unwrap();
    let event = &frame.events[0];
    let headers: Vec<(String, String)> = message
        .headers()
        .unwrap()
        .iter()
        .map(|header| (header.key.to_owned(), String::from_utf8(header.value.unwrap().to_vec()).unwrap()))
        .collect();
    let stream = event.stream.to_string();
    let golden = [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", event.id.to_string()),
        ("ce_source", format!("/tillstream/{}", store.log.store().id)),
        ("ce_type", "order.noted".to_owned()),
        ("ce_time", wire_time(event.time)),
        ("ce_subject", stream.clone()),
        ("content-type", "application/json".to_owned()),
        ("ce_tenant", "default".to_owned()),
        ("ce_streamtype", "order".to_owned()),
        ("ce_streamid", event.stream.id().to_owned()),
        ("ce_streamversion", "1".to_owned()),
        ("ce_position", "1:1".to_owned()),
        ("ce_frame", "1".to_owned()),
        ("ce_schemaversion", "1".to_owned()),
        ("ce_correlationid", event.correlation_id.to_string()),
        ("ce_causationid", event.causation_id.to_string()),
        ("ce_actor", "system:contract".to_owned()),
        ("ce_partitionkey", stream.clone()),
        ("ce_framehash", hex::encode(frame.hash)),
    ];
    assert_eq!(headers, golden.map(|(name, value)| (name.to_owned(), value)));
    assert_eq!(message.key(), Some(stream.as_bytes()));
    assert_eq!(message.payload(), Some(event.data.as_bytes()));
    drop(message);
    drop(consumer);
    world.end().await;
}

/// Anybody may write to a topic: what isn't an event of this store is skipped, on every side.
// proves: P7, AUD-5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_records_are_skipped() {
    let mut store = Store::new();
    let world = World::start(store.log.clone()).await;
    let mut consumer = Consumer::open(&*world.feed, "test", Seen::none(SHARDS)).await;
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &engines().kafka).create().unwrap();
    for _ in 0..3 {
        for partition in 0..i32::from(SHARDS) {
            let record: BaseRecord<'_, str, str> =
                BaseRecord::to(world.url.topic()).partition(partition).key("a").payload("b");
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(WAIT).unwrap();
        for shard in (0..SHARDS).map(domain::position::Shard) {
            // A new owner looks for the last record.
            let fence = store.fence(shard).await;
            world.publish(vec![fence]);
        }
        let frames = store.decide_everywhere(4).await;
        world.publish(frames);
        consumer.read_to(&store.heads()).await;
        world.published(&store.heads()).await;
    }
    let heads = kafka::heads(&world.url, store.log.store()).await.unwrap();
    for head in &heads {
        let records = world.records(head.shard).await;
        let foreign = records.iter().filter(|record| record.event.is_err()).count();
        let ours: Vec<u64> = records.iter().filter_map(|r| Some(r.event.as_ref().ok()?.0.n)).collect();
        assert_eq!((foreign, ours), (3, (1..=36).collect()));
        assert_eq!((head.records, head.first.map(|p| p.n), head.last.map(|p| p.n)), (39, Some(1), Some(36)));
    }
    drop(consumer);
    world.end().await;
}
