//! A topic of its own, a publisher and a feed.

use std::sync::Arc;
use std::time::Duration;

use domain::frame::DecidedFrame;
use domain::ports::feed::FanOut;
use domain::ports::log::EventLog;
use domain::position::{Arrival, Position, Seen, Shard};
use infra::feed::find_heads;
use infra::feed::ring::Rings;
use infra::kafka::{self, BothWays, KafkaFeed, KafkaPublisher, KafkaUrl, Scanned};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::{Offset, TopicPartitionList};
use tests::contract::feed::SHARDS;
use tests::engines::{engines, fresh_name};
use tokio_util::sync::CancellationToken;

pub(super) const WAIT: Duration = tests::shop::SETTLES_WITHIN;

pub(super) struct World {
    pub(super) url: KafkaUrl,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) publisher: Arc<KafkaPublisher>,
    pub(super) fan_out: Arc<dyn FanOut>,
    pub(super) feed: Arc<KafkaFeed>,
    pub(super) stop: CancellationToken,
}

pub(super) fn fresh_url() -> KafkaUrl {
    format!("kafka://{}/{}", engines().kafka, fresh_name()).parse().unwrap()
}

pub(super) fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", &engines().kafka).create().unwrap()
}

pub(super) async fn delete(url: &KafkaUrl) {
    for result in admin().delete_topics(&[url.topic()], &AdminOptions::new()).await.unwrap() {
        result.unwrap();
    }
}

/// Deletes the records before these offsets, as retention does.
pub(super) async fn cut(url: &KafkaUrl, offsets: &[(Shard, Offset)]) {
    let mut list = TopicPartitionList::new();
    for (shard, offset) in offsets {
        list.add_partition_offset(url.topic(), i32::from(shard.0), *offset).unwrap();
    }
    let done = admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
    for partition in done.elements() {
        partition.error().unwrap();
    }
}

/// Sets the largest record that the topic takes, beside what `migrate` sets.
pub(super) async fn limit_records(url: &KafkaUrl, bytes: &str) {
    let alter = AlterConfig::new(ResourceSpecifier::Topic(url.topic()))
        .set("max.message.bytes", bytes)
        .set("min.insync.replicas", "1");
    for result in admin().alter_configs(&[alter], &AdminOptions::new()).await.unwrap() {
        result.unwrap();
    }
}

impl World {
    pub(super) async fn start(log: Arc<dyn EventLog>) -> Self {
        let url = fresh_url();
        kafka::migrate(&url, SHARDS).await.unwrap();
        let stop = CancellationToken::new();
        let publisher = KafkaPublisher::start(&url, log.clone(), stop.clone()).unwrap();
        let feed = Arc::new(KafkaFeed::open(&url, log.clone()).await.unwrap());
        Self { url, log, fan_out: publisher.clone(), publisher, feed, stop }
    }

    /// The same with the owners in the process of the readers.
    pub(super) async fn beside_owners(log: Arc<dyn EventLog>) -> Self {
        let world = Self::start(log).await;
        let local = Arc::new(Rings::new(&find_heads(&*world.log).await.unwrap(), 1 << 20));
        let feed = KafkaFeed::beside_owners(&world.url, world.log.clone(), Arc::clone(&local)).await;
        Self {
            feed: Arc::new(feed.unwrap()),
            fan_out: Arc::new(BothWays::new(world.publisher.clone(), local)),
            ..world
        }
    }

    pub(super) fn publish(&self, frames: Vec<Arc<DecidedFrame>>) {
        frames.into_iter().for_each(|frame| self.fan_out.publish(frame));
    }

    pub(super) async fn end(self) {
        self.stop.cancel();
        self.publisher.stopped().await;
        self.feed.close().await;
        delete(&self.url).await;
    }

    /// All records of a shard's partition.
    pub(super) async fn records(&self, shard: Shard) -> Vec<Scanned> {
        let mut records = kafka::scan(&self.url, self.log.store(), shard, 0);
        let mut all = Vec::new();
        while let Some(record) = records.recv().await {
            all.push(record.unwrap());
        }
        all
    }

    /// Waits until the topic's last records are these.
    pub(super) async fn published(&self, heads: &Seen) {
        let reached = async {
            loop {
                let Ok(now) = kafka::heads(&self.url, self.log.store()).await else { continue };
                let last = |shard: Shard| now[usize::from(shard.0)].last.map_or(0, |last| last.n);
                if heads.positions().all(|head| last(head.shard) == head.n) {
                    return;
                }
            }
        };
        tokio::time::timeout(WAIT, reached).await.expect("everything is published in time");
    }

    /// Who applies only the next position to the topic, from its first record on, meets no gap; answers how many records repeat.
    pub(super) async fn assert_no_gap(&self, heads: &Seen, first: u64) -> usize {
        let mut repeats = 0;
        let mut seen = Seen::none(SHARDS);
        for head in heads.positions().filter(|head| head.n > 0) {
            seen.advance(Position { shard: head.shard, n: first - 1 });
            for record in self.records(head.shard).await {
                let (position, _) = record.event.unwrap();
                match seen.arrival(position) {
                    Arrival::Next => seen.advance(position),
                    Arrival::Repeat => repeats += 1,
                    Arrival::Gap { last } => panic!("{position} came after {last} in the topic"),
                }
            }
        }
        assert_eq!(seen, *heads);
        repeats
    }
}
