//! The fan-out over Kafka: one topic with a partition for every shard, one record for every event.
//!
//! Kafka is a transport. What it loses, hasn't got yet or has dropped by retention, the feed reads from the log; so wiping the topic
//! loses nothing. Within the topic no position is ever left out, but some may be repeated: a reader that doesn't use the feed applies an
//! event iff its stream version is the last one it applied plus one.

mod client;
mod events_copy;
mod feed;
mod publisher;
mod record;
mod scan;
mod topic;
mod url;

pub use self::events_copy::KafkaEvents;
pub use self::feed::KafkaFeed;
pub use self::publisher::KafkaPublisher;
pub use self::scan::{PartitionHeads, Scanned, heads, scan};
pub use self::topic::migrate;
pub use self::url::{KafkaUrl, MalformedKafkaUrl};

/// Why Kafka didn't do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It can't be reached, or refuses: repeat later.
    #[error("kafka is unavailable: {0}")]
    Unavailable(String),
    /// There is no such topic.
    #[error("there is no topic {0}; `tillstream migrate` makes it")]
    NoTopic(String),
    /// The topic can't carry the shards of the store one to one.
    #[error(
        "topic {topic} has {found} partitions, but the store has {wanted} shards: name another topic in the url"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// The shards of the store.
        wanted: usize,
        /// The partitions of the topic.
        found: usize,
    },
}

impl From<rdkafka::error::KafkaError> for Error {
    fn from(error: rdkafka::error::KafkaError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
