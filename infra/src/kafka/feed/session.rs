//! One consumer in its group: which partitions it has, and whether Kafka works at all.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use domain::position::Shard;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::kafka::client::{blocking, log, settings};
use crate::kafka::{Error, KafkaUrl, topic};

/// How often Kafka is asked about the topic.
const WATCH: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(2);
/// A topic that is missing or can't be asked for is given up for now after so long.
const NO_TOPIC: Duration = Duration::from_secs(2);
/// A group that lets nobody in is given up for now after so long; brokers hold a new group's first members up for 3 s.
const NO_GROUP: Duration = Duration::from_secs(5);

/// What a consumer has of the topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Assigned {
    shards: Vec<bool>,
    /// The group has let it in, perhaps without any partition.
    joined: bool,
    /// Kafka can't tell who reads what: everybody reads everything, from the log.
    alone: bool,
}

impl Assigned {
    /// Whether the reader brings the events of this shard.
    pub(super) fn has(&self, shard: Shard) -> bool {
        self.alone || self.shards.get(usize::from(shard.0)).copied().unwrap_or(false)
    }

    /// Whether Kafka is out of work.
    pub(super) fn is_alone(&self) -> bool {
        self.alone
    }
}

pub(super) type GroupConsumer = StreamConsumer<Membership>;

/// A consumer and the task that watches over it.
pub(super) struct Session {
    consumer: Option<Arc<GroupConsumer>>,
    topic: String,
    assigned: watch::Receiver<Assigned>,
    watching: AbortHandle,
}

/// Follows the group's decisions.
pub(super) struct Membership {
    assigned: watch::Sender<Assigned>,
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka reports");
    }
}

impl ConsumerContext for Membership {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let assigns = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let done = match (assigns, cooperative) {
            (true, _) => at_the_end(list).and_then(|()| {
                if cooperative { consumer.incremental_assign(list) } else { consumer.assign(list) }
            }),
            (false, true) => consumer.incremental_unassign(list),
            (false, false) => consumer.unassign(),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "a rebalance failed; shards without a partition are read from the log");
        }
        let lost = consumer.assignment_lost();
        let partitions: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
        tracing::debug!(?partitions, assigns, lost, "the group shares its partitions anew");
        self.assigned.send_modify(|assigned| {
            assigned.joined = assigns || (assigned.joined && !lost);
            if !cooperative {
                assigned.shards.fill(false);
            }
            for partition in partitions {
                if let Some(has) = usize::try_from(partition).ok().and_then(|at| assigned.shards.get_mut(at))
                {
                    *has = assigns;
                }
            }
        });
    }
}

/// Reading begins with what is published from now on; what lies before comes from the log.
fn at_the_end(list: &mut TopicPartitionList) -> KafkaResult<()> {
    if list.count() == 0 { Ok(()) } else { list.set_all_offsets(Offset::End) }
}

impl Session {
    /// Joins the group, in the background.
    pub(super) fn open(url: &KafkaUrl, group: &str, shards: u16) -> Result<Self, Error> {
        let nothing = Assigned { shards: vec![false; usize::from(shards)], joined: false, alone: false };
        let (sender, assigned) = watch::channel(nothing);
        let consumer: GroupConsumer = settings(url)
            .set("group.id", format!("{}.{group}", url.topic()))
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "500")
            // What this process hands on is committed a few times a second, for who looks from outside.
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "500")
            .set("enable.auto.offset.store", "false")
            // Where retention was faster, or the topic is a new one: repeats are dropped, the rest comes from the log.
            .set("auto.offset.reset", "earliest")
            .set("fetch.min.bytes", "1")
            // An answer never waits for more data; a newly assigned partition waits so long for its first fetch.
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "100")
            .set("fetch.queue.backoff.ms", "5")
            .set("queued.max.messages.kbytes", "16384")
            .set("topic.metadata.refresh.interval.ms", "2000")
            .create_with_context(Membership { assigned: sender })?;
        consumer.subscribe(&[url.topic()])?;
        let consumer = Arc::new(consumer);
        let watching = tokio::spawn(watch(Arc::downgrade(&consumer), url.clone(), shards)).abort_handle();
        Ok(Self { consumer: Some(consumer), topic: url.topic().to_owned(), assigned, watching })
    }

    /// The consumer; there until the session is closed.
    pub(super) fn consumer(&self) -> Option<&Arc<GroupConsumer>> {
        self.consumer.as_ref()
    }

    /// What the consumer has, and the news of it.
    pub(super) fn assigned(&self) -> watch::Receiver<Assigned> {
        self.assigned.clone()
    }

    /// Everything of the shard up to this offset was handed on.
    pub(super) fn handed_on(&self, shard: Shard, offset: i64) {
        let Some(consumer) = &self.consumer else { return };
        // The partition may have gone to another consumer meanwhile, which then tells.
        if let Err(error) = consumer.store_offset(&self.topic, i32::from(shard.0), offset) {
            tracing::trace!(%shard, %error, "an offset is not kept");
        }
    }

    /// Leaves the group.
    pub(super) async fn close(mut self) {
        self.watching.abort();
        let consumer = self.consumer.take();
        // Fails only when the runtime ends, and then so does the consumer.
        let _ = tokio::task::spawn_blocking(move || drop(consumer)).await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.watching.abort();
        // Leaving the group takes a round trip, which must not hold up a thread of the runtime.
        if let (Some(consumer), Ok(runtime)) = (self.consumer.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn_blocking(move || drop(consumer));
        }
    }
}

/// Tells when Kafka can't say who reads what: the topic is missing or has the wrong shape, nobody answers, or the group lets nobody in.
async fn watch(consumer: Weak<GroupConsumer>, url: KafkaUrl, shards: u16) {
    let mut tick = tokio::time::interval(WATCH);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut topic_there, mut group_there) = (Instant::now(), Instant::now());
    loop {
        tick.tick().await;
        let Some(consumer) = consumer.upgrade() else { return };
        let asked = (Arc::clone(&consumer), url.clone());
        let found = blocking(move || {
            let (consumer, url) = asked;
            topic::look(consumer.client(), url.topic(), ANSWER)?.carries(&url, shards)
        });
        let found = found.await;
        if found.is_ok() {
            topic_there = Instant::now();
        }
        let assigned = &consumer.context().assigned;
        if assigned.borrow().joined {
            group_there = Instant::now();
        }
        let alone = topic_there.elapsed() > NO_TOPIC || group_there.elapsed() > NO_GROUP;
        assigned.send_if_modified(|assigned| {
            let news = assigned.alone != alone;
            assigned.alone = alone;
            if news && alone {
                let reason =
                    found.err().map_or_else(|| "the group lets nobody in".to_owned(), |e| e.to_string());
                tracing::warn!(reason, "kafka doesn't work; reading the log instead");
            } else if news {
                tracing::info!("kafka works again");
            }
            news
        });
    }
}
