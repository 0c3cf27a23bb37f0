//! The real engines that a test may use, and names of its own on them.

use std::sync::OnceLock;

use uuid::Uuid;

/// Where the engines listen, as `infra/local/engines env` tells it; without keyspace, topic, database or index.
#[derive(Debug, Clone)]
pub struct Engines {
    /// Cassandra: `127.0.0.1:19042`.
    pub cassandra: String,
    /// Kafka: `127.0.0.1:19092`.
    pub kafka: String,
    /// PostgreSQL: `postgres://tillstream@127.0.0.1:15432/tillstream`.
    pub postgres: String,
    /// Elasticsearch: `http://127.0.0.1:19200`.
    pub elasticsearch: String,
}

/// The engines named by the environment.
///
/// # Panics
/// When it names none: a test that needs them must not pass without them.
#[must_use]
pub fn engines() -> &'static Engines {
    static ENGINES: OnceLock<Engines> = OnceLock::new();
    ENGINES.get_or_init(|| {
        let url = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| {
                panic!(
                    "{name} is not set: start the engines with `infra/local/engines up`, then `export $(infra/local/engines env)`"
                )
            })
        };
        let host = |url: String| {
            let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
            rest.split('/').next().unwrap_or_default().to_owned()
        };
        Engines {
            cassandra: host(url("TILLSTREAM_LOG_URL")),
            kafka: host(url("TILLSTREAM_FEED_URL")),
            postgres: url("TILLSTREAM_READ_URL"),
            elasticsearch: url("TILLSTREAM_SEARCH_URL"),
        }
    })
}

/// A name that no other test has: for a keyspace, a topic, a schema, an index prefix.
#[must_use]
pub fn fresh_name() -> String {
    format!("t{}", &Uuid::new_v4().simple().to_string()[..12])
}
