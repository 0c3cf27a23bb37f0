//! Tillstream through the library: owners over Cassandra, derived rows and Kafka included.

use std::sync::Arc;
use std::time::{Duration, Instant};

use command_api::owner::{OwnerConfig, Owners};
use domain::command::CommandRequest;
use domain::frame::{DecidedFrame, Tail, encode_frame};
use domain::ports::clock::SystemClock;
use domain::ports::feed::FanOut;
use domain::ports::gateway::CommandGateway;
use domain::ports::log::{EventLog, LogReader};
use domain::position::Shard;
use infra::cassandra::{CassandraLog, CassandraUrl};
use infra::kafka::{KafkaPublisher, KafkaUrl};
use tests::bench::{Line, callers, fill_hot, measured, shards, summary};
use tests::engines::{Names, engines};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A store of its own on the engines, with owners of every shard in this process.
pub(crate) struct Store {
    pub(crate) names: Names,
    pub(crate) log: CassandraLog,
    pub(crate) owners: Arc<Owners>,
    publisher: Arc<KafkaPublisher>,
    stop: CancellationToken,
}

pub(crate) fn cassandra(name: &str) -> CassandraUrl {
    format!("cassandra://{}/{name}", engines().cassandra).parse().unwrap()
}

pub(crate) fn kafka(name: &str) -> KafkaUrl {
    format!("kafka://{}/{name}", engines().kafka).parse().unwrap()
}

impl Store {
    pub(crate) async fn make() -> Self {
        let names = Names::fresh(engines());
        let name = names.name();
        CassandraLog::migrate(&cassandra(name), shards()).await.unwrap();
        infra::kafka::migrate(&kafka(name), shards()).await.unwrap();
        let log = CassandraLog::open(&cassandra(name)).await.unwrap();
        let stop = CancellationToken::new();
        let publisher = KafkaPublisher::start(&kafka(name), Arc::new(log.clone()), stop.clone()).unwrap();
        let owners = Owners::start(
            Arc::new(log.clone()),
            Arc::new(sagas::registry()),
            Arc::clone(&publisher) as Arc<dyn FanOut>,
            Arc::new(SystemClock),
            OwnerConfig::over_servers(),
        );
        let owners = Arc::new(owners.await.unwrap());
        Self { names, log, owners, publisher, stop }
    }

    pub(crate) async fn run(&self, count: usize, command: fn() -> CommandRequest) -> Line {
        self.owners.submit(fill_hot()).await.unwrap();
        let owners = Arc::clone(&self.owners);
        callers(count, move |_| {
            let owners = Arc::clone(&owners);
            async move {
                owners.submit(command()).await.unwrap();
            }
        })
        .await
    }

    /// Ends the owners, waits until Kafka has everything, and leaves the store as it is.
    pub(crate) async fn rest(&self) {
        self.owners.stop().await;
        self.stop.cancel();
        self.publisher.stopped().await;
    }

    pub(crate) async fn drop(self) {
        self.rest().await;
        self.names.remove().await.unwrap();
    }
}

/// The port alone: frames of 200 events of 640 bytes, one after another in each of `shards` shards; events per second, and the
/// time of a frame.
pub(crate) async fn raw(shards: u16) -> Line {
    const EVENTS: usize = 200;
    let names = Names::fresh(engines());
    CassandraLog::migrate(&cassandra(names.name()), shards).await.unwrap();
    let log = CassandraLog::open(&cassandra(names.name())).await.unwrap();
    let start = Instant::now();
    let writers = (0..shards).map(|n| {
        let log = log.clone();
        tokio::spawn(async move {
            let mut tail = Tail::empty(Shard(n));
            let mut latencies: Vec<Duration> = Vec::new();
            while start.elapsed() < measured() {
                let events = vec![vec![b'x'; 640]; EVENTS];
                let frame = encode_frame(log.store().id, &tail, 1, Uuid::new_v4(), &events, &[]);
                tail = Tail::after(&frame.header, frame.hash);
                let sent = Instant::now();
                log.propose(Arc::new(frame)).await.unwrap();
                latencies.push(sent.elapsed());
            }
            latencies
        })
    });
    let mut latencies = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        latencies.extend(writer.await.unwrap());
    }
    let mut line = summary(latencies, start.elapsed());
    line.per_second *= EVENTS as f64;
    drop(log);
    names.remove().await.unwrap();
    line
}

/// The whole log read and decoded: events, and how long it took. Shards are read beside each other.
pub(crate) async fn read_all(log: &CassandraLog) -> (u64, Duration) {
    let start = Instant::now();
    let readers = (0..log.store().shards).map(|n| {
        let log = log.clone();
        tokio::spawn(async move {
            let (mut from, mut events) = (1, 0);
            loop {
                let rows = log.read_frames(Shard(n), from, 512, 4 << 20).await.unwrap();
                if rows.is_empty() {
                    return events;
                }
                from += rows.len() as u64;
                let decoded = rows.iter().map(|row| DecidedFrame::decode(row).unwrap().events.len() as u64);
                events += decoded.sum::<u64>();
            }
        })
    });
    let mut events = 0;
    for reader in readers.collect::<Vec<_>>() {
        events += reader.await.unwrap();
    }
    (events, start.elapsed())
}
