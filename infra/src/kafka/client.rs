//! What all connections to Kafka share.

use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use super::{Error, KafkaUrl};

/// The longest wait for an answer to one question.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// The settings of every client. Topics are made by `migrate` only, with the right number of partitions.
pub(super) fn settings(url: &KafkaUrl) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", url.brokers())
        .set("client.id", "tillstream")
        .set("allow.auto.create.topics", "false")
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "2000")
        .set_log_level(RDKafkaLogLevel::Warning);
    settings
}

/// The context of clients that need nothing but a place for their messages.
pub(super) struct Plain;

impl ClientContext for Plain {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka reports");
    }
}

impl ConsumerContext for Plain {}

/// A line that the driver wants logged. Brokers that come and go are told of by what it means for the work, elsewhere.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "kafka", facility, "{message}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
            tracing::debug!(target: "kafka", facility, "{message}");
        }
        _ => tracing::trace!(target: "kafka", facility, "{message}"),
    }
}

/// Runs blocking work of the driver beside the async tasks.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::Unavailable(format!("the work was given up: {error}"))))
}
