//! The library on a store that the program has prepared: embedded in its data directory, or on the engines that it names.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use command_api::owner::{OwnerConfig, Owners};
use domain::command::{Accepted, CommandError, CommandRequest};
use domain::frame::DecidedFrame;
use domain::ports::clock::SystemClock;
use domain::ports::feed::FanOut;
use domain::ports::gateway::CommandGateway as _;
use domain::ports::log::EventLog;
use infra::cassandra::CassandraLog;
use infra::kafka::KafkaPublisher;
use infra::sqlite::log::SqliteLog;
use tests::engines::{Names, engines};
use tokio_util::sync::CancellationToken;

/// How long a caller waits for an answer: a store that is being filled is busy.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

struct Nobody;

impl FanOut for Nobody {
    fn publish(&self, _frame: Arc<DecidedFrame>) {}
}

/// The owners of every shard of a store.
#[derive(Clone)]
pub(crate) struct Library {
    pub(crate) owners: Arc<Owners>,
    pub(crate) shards: u16,
    publisher: Option<Arc<KafkaPublisher>>,
    stop: CancellationToken,
}

impl Library {
    pub(crate) async fn open(dir: &Path, names: Option<&Names>) -> Self {
        let stop = CancellationToken::new();
        let (log, publisher, config): (Arc<dyn EventLog>, _, _) = match names {
            None => (Arc::new(SqliteLog::open_existing(dir).unwrap()), None, OwnerConfig::default()),
            Some(names) => {
                let name = names.name();
                let url = format!("cassandra://{}/{name}", engines().cassandra).parse().unwrap();
                let log = Arc::new(CassandraLog::open(&url).await.unwrap());
                let url = format!("kafka://{}/{name}", engines().kafka).parse().unwrap();
                let publisher = KafkaPublisher::start(&url, log.clone(), stop.clone()).unwrap();
                (log, Some(publisher), OwnerConfig::over_servers())
            }
        };
        let fan_out: Arc<dyn FanOut> = match &publisher {
            Some(publisher) => Arc::clone(publisher) as Arc<dyn FanOut>,
            None => Arc::new(Nobody),
        };
        let shards = log.store().shards;
        let registry = Arc::new(sagas::registry());
        let config = OwnerConfig { answer_within: ANSWERS_WITHIN, ..config };
        let owners = Owners::start(log, registry, fan_out, Arc::new(SystemClock), config).await.unwrap();
        Self { owners: Arc::new(owners), shards, publisher, stop }
    }

    /// Ends the owners, and waits until Kafka has everything where there is one.
    pub(crate) async fn close(self) {
        self.owners.stop().await;
        self.stop.cancel();
        if let Some(publisher) = self.publisher {
            publisher.stopped().await;
        }
    }
}

/// Has a command decided; one that finds its owner overloaded waits.
pub(crate) async fn submit(owners: &Owners, request: CommandRequest) -> Accepted {
    loop {
        match owners.submit(request.clone()).await {
            Ok(accepted) => return accepted,
            Err(CommandError::Overloaded) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
}
