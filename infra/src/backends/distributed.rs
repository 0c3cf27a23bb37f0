//! The distributed family: Cassandra or ScyllaDB, Kafka, PostgreSQL and Elasticsearch, shared by many processes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use command_api::web::tokens::SigningKeys;
use domain::ports::feed::{FanOut, Feed};
use domain::ports::keys::SubjectKeys;
use domain::ports::leases::Leases;
use domain::ports::log::{EventLog, LogReader};
use domain::position::Position;
use projections::engine::follower::Follower;
use projections::engine::read_models::ReadModels;
use projections::engine::search::TextSearch;
use projections::engine::store::StoreError;
use projections::engine::watermark::Watermark;
use query_api::CursorKey;
use sagas::standing::SagaWork;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::log_heads::LogHeads;
use super::lost_log;
use super::{Backends, Cluster, Group, Prepared, Promises};
use crate::application::Projections;
use crate::cassandra::CassandraLog;
use crate::config::Distributed;
use crate::elasticsearch::{
    self, ElasticsearchCheckpoints, ElasticsearchEvents, ElasticsearchSearch, ElasticsearchStore,
    ElasticsearchUrl,
};
use crate::event_copy::EventCopy;
use crate::feed::find_heads;
use crate::feed::ring::Rings;
use crate::kafka::{self, BothWays, KafkaEvents, KafkaFeed, KafkaPublisher, KafkaUrl};
use crate::postgres::checkpoints::PostgresCheckpoints;
use crate::postgres::events_copy::PostgresEvents;
use crate::postgres::keys::PostgresKeys;
use crate::postgres::read_models::PostgresReadModels;
use crate::postgres::rebuild::OnlyOne;
use crate::postgres::saga_work::PostgresSagaWork;
use crate::postgres::secrets::PostgresSecrets;
use crate::postgres::{self, Database, PostgresReadStore, PostgresUrl};
use crate::rebuild::RebuildError;
use crate::rebuild::renewal::Renewal;

/// The rest between small `_bulk` requests: much shorter than what a search shows by itself.
const BULK_EVERY: Duration = Duration::from_millis(100);

/// How long a start waits for Kafka to tell what the topic carries.
const TOPIC_WITHIN: Duration = Duration::from_secs(5);

/// What was decided lately is kept for the readers of the same process, about so much of it; who is further behind reads Kafka or the log.
const DECIDED_BYTES: usize = 16 << 20;

/// The distributed backends as one process uses them.
pub struct DistributedBackends {
    projections: Projections,
    log: Arc<CassandraLog>,
    heads: Arc<LogHeads>,
    keys: Arc<PostgresKeys>,
    secrets: PostgresSecrets,
    read: OnceCell<Database>,
    read_url: PostgresUrl,
    feed_url: KafkaUrl,
    search_url: ElasticsearchUrl,
    /// The topic was compared with the log.
    topic: OnceCell<()>,
    publisher: Mutex<Option<Arc<KafkaPublisher>>>,
    /// What this process decided lately, for its own readers.
    decided: Arc<Rings>,
    feed: Mutex<Option<Arc<KafkaFeed>>>,
    /// Ends what runs behind.
    stop: CancellationToken,
}

impl DistributedBackends {
    /// Opens the log and the keys, which every role needs.
    ///
    /// # Errors
    /// When one can't be opened, most of all before the migration; the reason names it.
    pub async fn open(projections: Projections, urls: &Distributed<'_>) -> anyhow::Result<Self> {
        let log = Arc::new(CassandraLog::open(urls.log).await?);
        match elasticsearch::refuse_other(urls.search, &projections.documents, log.store()).await {
            Err(error @ StoreError::OtherLog { .. }) => return Err(error.into()),
            // Whoever needs it will say so.
            Err(error) => tracing::warn!(%error, "the search indices can't be compared with the log now"),
            Ok(()) => {}
        }
        let keys = PostgresKeys::open_existing(&urls.keys).await;
        let keys = Arc::new(keys.context("`tillstream migrate` makes the keys of a new store")?);
        let stop = CancellationToken::new();
        let reader = Arc::clone(&log) as Arc<dyn LogReader>;
        let heads = LogHeads::start(reader, stop.child_token()).await?;
        Ok(Self {
            projections,
            decided: Arc::new(Rings::new(&heads.heads(), DECIDED_BYTES)),
            heads,
            log,
            secrets: PostgresSecrets::beside(&keys),
            keys,
            read: OnceCell::new(),
            read_url: urls.read.clone(),
            feed_url: urls.feed.clone(),
            search_url: urls.search.clone(),
            topic: OnceCell::new(),
            publisher: Mutex::default(),
            feed: Mutex::default(),
            stop,
        })
    }

    /// Opens a store that is there, with its read models, and makes nothing.
    ///
    /// # Errors
    /// When there is none, or a part can't be opened; the reason names it.
    pub async fn open_existing(projections: Projections, urls: &Distributed<'_>) -> anyhow::Result<Self> {
        let this = Self::open(projections, urls).await?;
        expect_read_models(&this.database().await?).await?;
        Ok(this)
    }

    async fn database(&self) -> anyhow::Result<Database> {
        let connect = || async {
            let database = Database::connect(&self.read_url).await?;
            let rows = PostgresReadStore::new(database.clone());
            rows.refuse_other(self.log.store().id).await?;
            lost_log::refuse_emptied(&rows, &*self.log).await?;
            Ok::<_, anyhow::Error>(database)
        };
        Ok(self.read.get_or_try_init(connect).await?.clone())
    }

    /// Refuses a topic of another log. Kafka need not be there: then whoever publishes compares again.
    async fn compare_topic(&self) -> anyhow::Result<()> {
        let compare = || async {
            let compared = kafka::compare(&self.feed_url, &*self.log);
            match tokio::time::timeout(TOPIC_WITHIN, compared).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(kafka::Error::Unavailable(reason))) => {
                    tracing::warn!(reason, "the topic can't be compared with the log now");
                    Ok(())
                }
                Ok(Err(kafka::Error::NoTopic(_) | kafka::Error::Partitions { .. })) => Ok(()),
                Ok(Err(error)) => Err(anyhow::Error::from(error)),
                Err(_) => {
                    tracing::warn!(
                        "kafka doesn't answer in time: the topic can't be compared with the log now"
                    );
                    Ok(())
                }
            }
        };
        self.topic.get_or_try_init(compare).await.map(|_| ())
    }

    fn shards(&self) -> u16 {
        self.log.store().shards
    }
}

/// Makes whatever is missing on the servers.
///
/// # Errors
/// When a part can't be made; the reason names it.
pub(super) async fn migrate(
    projections: &Projections,
    urls: &Distributed<'_>,
    shards: u16,
) -> anyhow::Result<Prepared> {
    lost_log::refuse(projections, urls).await?;
    let store = CassandraLog::migrate(urls.log, shards).await?;
    let shards = store.shards;
    let log = Arc::new(CassandraLog::open(urls.log).await?);
    kafka::migrate(urls.feed, shards).await?;
    kafka::compare(urls.feed, &*log).await?;
    let database = Database::connect(urls.read).await?;
    for group in groups(projections, &database, urls.search, log.clone())? {
        group.store.prepare(&group.projections, store).await?;
    }
    // A new store gets new keys; a log that has events refers to those that it was written with.
    let used = find_heads(&*log).await?.iter().any(|head| head.n > 0);
    let keys = match used {
        true => PostgresKeys::open_existing(&urls.keys).await?,
        false => PostgresKeys::open(&urls.keys).await?,
    };
    let secrets = PostgresSecrets::beside(&keys);
    secrets.signing_keys().await?;
    secrets.cursor_key().await?;
    secrets.peer_secret().await?;
    Ok(Prepared { shards, notes: vec![format!("keys     {}", urls.keys)] })
}

/// Whether the schema of the read models is there, for whoever must find it and make nothing.
pub(crate) async fn expect_read_models(database: &Database) -> anyhow::Result<()> {
    let made = PostgresReadStore::new(database.clone()).is_made().await?;
    anyhow::ensure!(
        made,
        "there are no read models in the schema {} of {}: check read.url, or run `tillstream migrate`",
        database.schema(),
        database.url()
    );
    Ok(())
}

fn groups(
    projections: &Projections,
    database: &Database,
    search: &ElasticsearchUrl,
    log: Arc<dyn LogReader>,
) -> anyhow::Result<Vec<Group>> {
    let rows = Arc::new(PostgresReadStore::new(database.clone()));
    let documents = Arc::new(ElasticsearchStore::new(search, &projections.documents, rows.clone(), log)?);
    Ok(vec![
        Group {
            name: "rows",
            store: rows,
            projections: projections.rows.clone(),
            apply_every: Duration::ZERO,
        },
        Group {
            name: "search",
            store: documents,
            projections: projections.documents.clone(),
            apply_every: BULK_EVERY,
        },
    ])
}

/// Tables and indices, one process at a time.
struct DistributedRenewal {
    projections: Projections,
    database: Database,
    search: ElasticsearchUrl,
    log: Arc<dyn LogReader>,
}

#[async_trait]
impl Renewal for DistributedRenewal {
    async fn renew(&self) -> Result<(), RebuildError> {
        postgres::rebuild::renew(&self.database, &self.projections.rows, Arc::clone(&self.log)).await?;
        let only_one = OnlyOne::take(&self.database).await?;
        let letters = Arc::new(PostgresReadStore::new(self.database.clone()));
        let (documents, log) = (&self.projections.documents, Arc::clone(&self.log));
        let renewed = elasticsearch::rebuild::renew(&self.search, letters, documents, log).await;
        only_one.release().await;
        renewed
    }
}

#[async_trait]
impl Backends for DistributedBackends {
    fn log(&self) -> Arc<dyn EventLog> {
        self.log.clone()
    }

    fn feed_bytes(&self) -> usize {
        let publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner);
        self.decided.bytes() + publisher.as_ref().map_or(0, |publisher| publisher.waiting_bytes())
    }

    fn heads(&self) -> Vec<Position> {
        self.heads.heads()
    }

    async fn fault(&self) -> Option<String> {
        self.heads.fault()
    }

    fn promises(&self) -> Option<Promises> {
        let told = self.log.promises();
        let (server, facts, warnings) = (told.server.clone(), told.facts.clone(), told.warnings.clone());
        Some(Promises { server, facts: facts.into_iter().collect(), warnings })
    }

    async fn cluster(&self) -> anyhow::Result<Option<Cluster>> {
        let leases = Arc::clone(&self.log) as Arc<dyn Leases>;
        Ok(Some(Cluster { leases, secret: self.secrets.peer_secret().await? }))
    }

    async fn fan_out(&self) -> anyhow::Result<Arc<dyn FanOut>> {
        self.compare_topic().await?;
        let log = Arc::clone(&self.log) as Arc<dyn EventLog>;
        let publisher = KafkaPublisher::start(&self.feed_url, log, self.stop.child_token())?;
        *self.publisher.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&publisher));
        Ok(Arc::new(BothWays::new(publisher, Arc::clone(&self.decided))))
    }

    async fn feed(&self) -> anyhow::Result<Arc<dyn Feed>> {
        // The roles of a process share it.
        let opened = self.feed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(feed) = opened {
            return Ok(feed);
        }
        self.compare_topic().await?;
        let feed = Arc::new(
            KafkaFeed::beside_owners(&self.feed_url, self.log.clone(), Arc::clone(&self.decided)).await?,
        );
        *self.feed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&feed));
        Ok(feed)
    }

    async fn keys(&self) -> anyhow::Result<Arc<dyn SubjectKeys>> {
        Ok(self.keys.clone())
    }

    async fn signing_keys(&self) -> anyhow::Result<SigningKeys> {
        self.secrets.signing_keys().await
    }

    async fn cursor_key(&self) -> anyhow::Result<CursorKey> {
        self.secrets.cursor_key().await
    }

    async fn groups(&self) -> anyhow::Result<Vec<Group>> {
        groups(&self.projections, &self.database().await?, &self.search_url, self.log.clone())
    }

    async fn renewal(&self) -> anyhow::Result<Arc<dyn Renewal>> {
        let database = self.database().await?;
        let (projections, search) = (self.projections.clone(), self.search_url.clone());
        Ok(Arc::new(DistributedRenewal { projections, database, search, log: self.log.clone() }))
    }

    async fn follow(&self, shutdown: &CancellationToken) -> anyhow::Result<Vec<Arc<Follower>>> {
        let Projections { rows: in_rows, documents: in_index } = &self.projections;
        let rows = PostgresCheckpoints::start(self.database().await?, in_rows.clone(), shutdown.clone());
        let documents = ElasticsearchCheckpoints::new(&self.search_url, in_index, self.shards())?
            .with_letters(Arc::new(PostgresReadStore::new(self.database().await?)));
        let (shards, shutdown) = (self.shards(), shutdown.clone());
        Ok(vec![
            Arc::new(Follower::start(Arc::new(rows), in_rows, shards, shutdown.clone())),
            Arc::new(Follower::start(Arc::new(documents), in_index, shards, shutdown)),
        ])
    }

    async fn read_models(&self, marks: Vec<Watermark>) -> anyhow::Result<Arc<dyn ReadModels>> {
        Ok(Arc::new(PostgresReadModels::new(self.database().await?, marks)))
    }

    async fn search(&self) -> anyhow::Result<Arc<dyn TextSearch>> {
        Ok(Arc::new(ElasticsearchSearch::new(&self.search_url)?))
    }

    async fn saga_work(&self) -> anyhow::Result<Arc<dyn SagaWork>> {
        Ok(Arc::new(PostgresSagaWork::new(self.database().await?)))
    }

    async fn copies(&self) -> anyhow::Result<Vec<Arc<dyn EventCopy>>> {
        Ok(vec![
            Arc::new(KafkaEvents::new(&self.feed_url, self.log.store())),
            Arc::new(PostgresEvents::new(self.database().await?)),
            Arc::new(ElasticsearchEvents::new(&self.search_url)?),
        ])
    }

    async fn stop(&self) {
        self.stop.cancel();
        let publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(publisher) = publisher {
            publisher.stopped().await;
        }
        let feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(feed) = feed {
            feed.close().await;
        }
        if let Some(database) = self.read.get() {
            database.close().await;
        }
    }
}
