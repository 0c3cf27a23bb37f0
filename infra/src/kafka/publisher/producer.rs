//! The producer: idempotent, for all shards together, and replaced after any error.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use domain::event::RecordedEvent;
use domain::frame::FrameId;
use domain::pauses::Pauses;
use domain::position::Shard;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, PurgeConfig, ThreadedProducer};
use tokio::sync::{Notify, watch};

use super::PublisherShared;
use super::acks::{Acks, MAX_UNACKED, Sent};
use crate::kafka::client::{log, settings};
use crate::kafka::{Error, KafkaUrl, record, topic};

/// Before a new producer.
const PAUSES: Pauses = Pauses::new(Duration::from_millis(50), Duration::from_secs(5));
/// A producer that worked for so long begins with the first pause again.
const WORKED: Duration = Duration::from_secs(30);
/// How often a full queue of the driver is tried again.
const QUEUE_FULL: Duration = Duration::from_millis(10);
/// The largest record that the driver takes; the topic's own limit is below.
const MAX_RECORD: usize = 8 << 20;

/// One producer from its beginning to its first error.
pub(super) struct Generation {
    /// Taken out at its end, so that it is closed before the next one begins.
    producer: RwLock<Option<ThreadedProducer<Deliveries>>>,
    pub(super) acks: Arc<Acks>,
    topic: String,
}

/// The generation has ended.
#[derive(Debug)]
pub(super) struct Ended;

struct Deliveries(Arc<Acks>);

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Brokers that come and go are the driver's business; it tells of records that it gave up.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            tracing::warn!(reason, "the producer can't go on");
            self.0.failed.cancel();
        } else {
            tracing::debug!(%error, reason, "kafka reports");
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        match result {
            Ok(_) => self.0.delivered(&sent),
            Err((error, message)) => {
                if !self.0.failed.is_cancelled() {
                    tracing::warn!(partition = message.partition(), %error, "a record was not delivered; resuming");
                }
                self.0.lost(&sent);
            }
        }
    }
}

impl Generation {
    pub(super) fn new(url: &KafkaUrl, wakers: &[Arc<Notify>], room: usize) -> Result<Self, Error> {
        let acks = Arc::new(Acks::new(wakers, room));
        let shards = wakers.len().max(1);
        let producer = settings(url)
            .set("enable.idempotence", "true")
            // An error that could leave a gap ends the producer instead.
            .set("enable.gapless.guarantee", "true")
            .set("acks", "all")
            // Records wait for Kafka as long as it takes.
            .set("message.timeout.ms", "0")
            // Measured, of 0, 1 and 5: as quick as 0 for one event at a time, and twice as fast for many.
            .set("linger.ms", "1")
            .set("compression.type", "lz4")
            .set("message.max.bytes", MAX_RECORD.to_string())
            .set("queue.buffering.max.messages", (shards * MAX_UNACKED * 2).to_string())
            .set("queue.buffering.max.kbytes", ((shards * (room + MAX_RECORD)) >> 10).to_string())
            // A topic that isn't there is made anew, by us; so hear of it soon.
            .set("topic.metadata.propagation.max.ms", "2000")
            .create_with_context(Deliveries(Arc::clone(&acks)))?;
        Ok(Self { producer: RwLock::new(Some(producer)), acks, topic: url.topic().to_owned() })
    }

    /// Hands an event to the producer, when there is room for it. `ends` is the frame that ends with this event.
    pub(super) async fn send(
        &self,
        woken: &Notify,
        event: &RecordedEvent,
        frame: &FrameId,
        ends: Option<u64>,
        source: &str,
    ) -> Result<(), Ended> {
        let shard = event.position.shard;
        loop {
            while !self.acks.has_room(shard) {
                tokio::select! {
                    () = woken.notified() => {}
                    () = self.acks.failed.cancelled() => return Err(Ended),
                }
            }
            match self.try_send(shard, event, frame, ends, source) {
                Ok(()) => return Ok(()),
                Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => tokio::select! {
                    () = tokio::time::sleep(QUEUE_FULL) => {}
                    () = self.acks.failed.cancelled() => return Err(Ended),
                },
                Err(error) => {
                    tracing::warn!(position = %event.position, %error, "a record was not taken; resuming");
                    self.acks.failed.cancel();
                    return Err(Ended);
                }
            }
        }
    }

    fn try_send(
        &self,
        shard: Shard,
        event: &RecordedEvent,
        frame: &FrameId,
        ends: Option<u64>,
        source: &str,
    ) -> Result<(), KafkaError> {
        let producer = self.producer.read().unwrap_or_else(PoisonError::into_inner);
        let Some(producer) = producer.as_ref() else {
            return Err(KafkaError::Canceled);
        };
        let (key, headers) = record::encode(event, frame, source);
        let sent = Box::new(Sent { shard, bytes: event.data.len() + 1024, ends });
        self.acks.sending(&sent);
        let record = BaseRecord::with_opaque_to(&self.topic, sent)
            .partition(i32::from(shard.0))
            .key(&key)
            .payload(&event.data)
            .headers(headers);
        producer.send(record).map_err(|(error, record)| {
            self.acks.not_sent(&record.delivery_opaque);
            error
        })
    }

    /// Ends the producer: what is still on its way may arrive or not. Blocks, bounded.
    fn close(&self) {
        self.acks.failed.cancel();
        let producer = self.producer.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(producer) = producer {
            producer.purge(PurgeConfig::default().queue().inflight());
        }
    }
}

/// Replaces the producer after its first error, once the topic is there again; closes it at the end.
pub(super) async fn renew(
    shared: Arc<PublisherShared>,
    renewed: watch::Sender<Arc<Generation>>,
    wakers: Vec<Arc<Notify>>,
    room: usize,
) {
    let mut pauses = PAUSES;
    loop {
        let current = Arc::clone(&renewed.borrow());
        let began = Instant::now();
        tokio::select! {
            () = current.acks.failed.cancelled() => {}
            () = shared.end.cancelled() => {
                return close(current).await;
            }
        }
        close(current).await;
        if began.elapsed() > WORKED {
            pauses.reset();
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(pauses.further()) => {}
                () = shared.end.cancelled() => return,
            }
            let again = match topic::migrate(&shared.url, shared.store.shards).await {
                Ok(()) => Generation::new(&shared.url, &wakers, room),
                Err(error) => Err(error),
            };
            match again {
                Ok(next) => {
                    renewed.send_replace(Arc::new(next));
                    break;
                }
                Err(error) => tracing::warn!(%error, "can't publish yet; consumers read the log"),
            }
        }
    }
}

async fn close(generation: Arc<Generation>) {
    if let Err(error) = tokio::task::spawn_blocking(move || generation.close()).await {
        tracing::error!(%error, "closing the producer failed");
    }
}
