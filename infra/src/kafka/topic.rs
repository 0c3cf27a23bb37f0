//! The topic: made with exactly one partition for every shard.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use tokio::time::Instant;

use super::client::{ANSWER, Plain, blocking, settings};
use super::{Error, KafkaUrl};

/// A record may be as large as a command (1 MiB) with its headers.
const MAX_RECORD_BYTES: &str = "2097152";
/// How long a new topic is looked for until every partition has a leader.
const LEADERS_WITHIN: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// What Kafka knows of the topic.
pub(super) struct Topic {
    /// How many brokers there are.
    brokers: usize,
    /// How many partitions the topic has; `None` when there is no such topic.
    partitions: Option<usize>,
    /// Every partition has a leader.
    led: bool,
}

impl Topic {
    /// Whether the topic carries `shards` shards.
    ///
    /// # Errors
    /// [`Error::NoTopic`], [`Error::Partitions`].
    pub(super) fn carries(&self, url: &KafkaUrl, shards: u16) -> Result<(), Error> {
        let found = self.partitions.ok_or_else(|| Error::NoTopic(url.topic().to_owned()))?;
        let wanted = usize::from(shards);
        if found == wanted {
            return Ok(());
        }
        Err(Error::Partitions { topic: url.topic().to_owned(), wanted, found })
    }
}

/// Asks for the topic; blocks.
pub(super) fn look<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    wait: Duration,
) -> Result<Topic, Error> {
    let metadata = client.fetch_metadata(Some(topic), wait)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let missing = RDKafkaErrorCode::UnknownTopicOrPartition;
    let partitions = match found.map(|found| (found, found.error().map(RDKafkaErrorCode::from))) {
        None => None,
        Some((_, Some(error))) if error == missing => None,
        Some((_, Some(error))) => return Err(Error::Unavailable(format!("topic {topic}: {error}"))),
        Some((found, None)) => Some(found.partitions()),
    };
    Ok(Topic {
        brokers: metadata.brokers().len(),
        partitions: partitions.map(<[_]>::len),
        led: partitions.is_some_and(|all| all.iter().all(|partition| partition.leader() >= 0)),
    })
}

/// How many partitions the topic has; 0 when there is none. Makes nothing.
pub(super) async fn partitions(url: &KafkaUrl) -> Result<u16, Error> {
    let client: BaseConsumer<Plain> = settings(url).create_with_context(Plain)?;
    let topic = url.topic().to_owned();
    let found = blocking(move || look(client.client(), &topic, ANSWER)).await?;
    Ok(found.partitions.map_or(0, |partitions| u16::try_from(partitions).unwrap_or(u16::MAX)))
}

/// Makes the topic with `shards` partitions, or checks that it has as many: `cleanup.policy=delete`, no unclean election, three
/// replicas (or what the url says) of which two must have a record before it counts as written.
///
/// # Errors
/// [`Error::Partitions`] when there is one with another number of partitions; [`Error::Unavailable`].
pub async fn migrate(url: &KafkaUrl, shards: u16) -> Result<(), Error> {
    let client: AdminClient<Plain> = settings(url).create_with_context(Plain)?;
    let client = std::sync::Arc::new(client);
    let see = || {
        let (client, topic) = (client.clone(), url.topic().to_owned());
        blocking(move || look(client.inner(), &topic, ANSWER))
    };
    let found = see().await?;
    if found.partitions.is_some() {
        return found.carries(url, shards);
    }
    create(&client, url, shards, found.brokers).await?;
    let until = Instant::now() + LEADERS_WITHIN;
    loop {
        let last = match see().await {
            Ok(made) => {
                if made.partitions.is_some() {
                    made.carries(url, shards)?;
                }
                if made.led {
                    return Ok(());
                }
                Error::Unavailable(format!("topic {} was made, but has no leaders yet", url.topic()))
            }
            // A broker that was asked before it has heard of the topic says so by an error.
            Err(error @ Error::Unavailable(_)) => error,
            Err(error) => return Err(error),
        };
        if Instant::now() >= until {
            return Err(last);
        }
        // Brokers learn of a new topic one after the other, and tell nobody.
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

async fn create(
    client: &AdminClient<Plain>,
    url: &KafkaUrl,
    shards: u16,
    brokers: usize,
) -> Result<(), Error> {
    let wanted = usize::from(url.replication().unwrap_or(3));
    let replicas = if url.replication().is_some() { wanted } else { wanted.min(brokers.max(1)) };
    let in_sync = if replicas > 2 { "2" } else { "1" };
    let replication = TopicReplication::Fixed(i32::try_from(replicas).unwrap_or(i32::MAX));
    let topic = NewTopic::new(url.topic(), i32::from(shards), replication)
        .set("cleanup.policy", "delete")
        .set("unclean.leader.election.enable", "false")
        .set("min.insync.replicas", in_sync)
        .set("max.message.bytes", MAX_RECORD_BYTES);
    let options = AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER));
    for result in client.create_topics([&topic], &options).await? {
        match result {
            Ok(name) => tracing::info!(topic = name, shards, replicas, "made the topic"),
            // Another process was faster; it is checked like any other.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                return Err(Error::Unavailable(format!("topic {name} can't be made: {code}")));
            }
        }
    }
    Ok(())
}
