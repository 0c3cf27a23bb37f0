//! The fan-out over Kafka: one topic with a partition for every shard, one record for every event.
//!
//! Kafka is a transport. What it loses, hasn't got yet or has dropped by retention, the feed reads from the log; so wiping the topic
//! loses nothing. Within the topic no position is ever left out, but some may be repeated: a reader that doesn't use the feed applies an
//! event iff its stream version is the last one it applied plus one.

mod both_ways;
mod client;
mod events_copy;
mod feed;
mod origin;
mod publisher;
mod record;
mod scan;
mod topic;
mod url;

use domain::position::Position;
use uuid::Uuid;

pub use self::both_ways::BothWays;
pub use self::events_copy::KafkaEvents;
pub use self::feed::KafkaFeed;
pub use self::origin::{carries_events, compare};
pub use self::publisher::KafkaPublisher;
pub use self::scan::{PartitionHeads, Scanned, heads, scan};
pub use self::topic::migrate;
pub use self::url::KafkaUrl;

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
    /// The topic carries the events of another store.
    #[error(
        "the topic {topic} carries events of the store {theirs}, but the log here is that of the store {ours}: name another topic in \
         feed.url and run `tillstream migrate`"
    )]
    OtherLog {
        /// The topic.
        topic: String,
        /// Whose events it carries.
        theirs: Uuid,
        /// Whose log is there.
        ours: Uuid,
    },
    /// The log ends before what the topic carries: it was put back from an older copy.
    #[error(
        "the topic {topic} carries the event {position}, which the log doesn't hold: put the right log back or, when an older copy was \
         restored on purpose, name another topic in feed.url and run `tillstream migrate`"
    )]
    Ahead {
        /// The topic.
        topic: String,
        /// The last event of its shard.
        position: Position,
    },
    /// The log holds something else there: it was put back from an older copy, and went on.
    #[error(
        "the topic {topic} carries another event {position} than the log holds: name another topic in feed.url and run \
         `tillstream migrate`"
    )]
    OtherEvent {
        /// The topic.
        topic: String,
        /// The last event of its shard.
        position: Position,
    },
}

impl From<rdkafka::error::KafkaError> for Error {
    fn from(error: rdkafka::error::KafkaError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
