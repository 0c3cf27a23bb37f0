//! The real engines that a test may use, and names of its own on them.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;
use serde_json::Value;
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
        let named = Engines::of(|name| {
            std::env::var(name).map_err(|_| {
                anyhow::anyhow!(
                    "{name} is not set: start the engines with `infra/local/engines up`, then `export $(infra/local/engines env)`"
                )
            })
        });
        named.unwrap_or_else(|error| panic!("{error}"))
    })
}

impl Engines {
    /// Those that these settings name.
    ///
    /// # Errors
    /// When one is missing.
    pub fn of(setting: impl Fn(&str) -> anyhow::Result<String>) -> anyhow::Result<Self> {
        let host = |url: String| {
            let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
            rest.split('/').next().unwrap_or_default().to_owned()
        };
        Ok(Self {
            cassandra: host(setting("TILLSTREAM_LOG_URL")?),
            kafka: host(setting("TILLSTREAM_FEED_URL")?),
            postgres: setting("TILLSTREAM_READ_URL")?,
            elasticsearch: setting("TILLSTREAM_SEARCH_URL")?,
        })
    }
}

/// A name that no other test has: for a keyspace, a topic, a schema, an index prefix.
#[must_use]
pub fn fresh_name() -> String {
    format!("t{}", &Uuid::new_v4().simple().to_string()[..12])
}

/// One store's names on the engines: a keyspace, a topic, schemas and an index prefix, all called alike. They go when it is
/// dropped.
#[derive(Debug)]
pub struct Names {
    engines: Engines,
    name: String,
}

impl Names {
    /// New ones on these engines.
    #[must_use]
    pub fn fresh(engines: &Engines) -> Self {
        Self { engines: engines.clone(), name: fresh_name() }
    }

    /// The name itself.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The configuration that uses them: keys with their values.
    #[must_use]
    pub fn settings(&self) -> [(&'static str, String); 4] {
        let (Engines { cassandra, kafka, postgres, elasticsearch }, name) = (&self.engines, &self.name);
        [
            ("log.url", format!("cassandra://{cassandra}/{name}")),
            ("feed.url", format!("kafka://{kafka}/{name}")),
            ("read.url", format!("{postgres}?schema={name}")),
            ("search.url", format!("{elasticsearch}/{name}")),
        ]
    }

    /// Writes a configuration file that uses them.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn write(&self, file: &Path) {
        let keys = self.settings().map(|(key, value)| {
            let (section, key) = key.split_once('.').expect("a section");
            format!("[{section}]\n{key} = \"{value}\"\n")
        });
        std::fs::write(file, keys.join("\n")).expect("the configuration can be written");
    }

    /// Removes whatever is called so.
    ///
    /// # Errors
    /// When an engine refuses or doesn't answer; what the others hold is removed all the same.
    pub async fn remove(&self) -> anyhow::Result<()> {
        let removed = [
            self.drop_keyspace().await.context("the keyspace"),
            self.delete_topics().await.context("the topics"),
            self.drop_schemas().await.context("the schemas"),
            self.delete_indices().await.context("the indices"),
        ];
        removed.into_iter().collect()
    }

    async fn drop_keyspace(&self) -> anyhow::Result<()> {
        let session = scylla::client::session_builder::SessionBuilder::new()
            .known_node(&self.engines.cassandra)
            .build()
            .await?;
        session.query_unpaged(format!("DROP KEYSPACE IF EXISTS {}", self.name), ()).await?;
        Ok(())
    }

    /// Deletes the topics that are there: the one called so, and those whose names go on after it.
    ///
    /// # Errors
    /// When Kafka refuses or doesn't answer.
    pub async fn delete_topics(&self) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.engines.kafka).create()?;
        let within = Duration::from_secs(30);
        let there = admin.inner().fetch_metadata(None, within)?;
        let topics = there.topics().iter().map(|topic| topic.name());
        let ours: Vec<&str> = topics.filter(|topic| topic.starts_with(&self.name)).collect();
        if ours.is_empty() {
            return Ok(());
        }
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(60)));
        for deleted in admin.delete_topics(&ours, &options).await? {
            match deleted {
                Ok(_)
                | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)) => {}
                Err((_, error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn drop_schemas(&self) -> anyhow::Result<()> {
        use sqlx::{Connection as _, Executor as _};
        let mut db = sqlx::PgConnection::connect(&self.engines.postgres).await?;
        let like = format!("{}%", self.name);
        let schemas: Vec<String> =
            sqlx::query_scalar("SELECT nspname::text FROM pg_namespace WHERE nspname LIKE $1 ORDER BY 1")
                .bind(&like)
                .fetch_all(&mut db)
                .await?;
        for schema in schemas {
            db.execute(format!("DROP SCHEMA IF EXISTS \"{schema}\" CASCADE").as_str()).await?;
        }
        let roles: Vec<String> =
            sqlx::query_scalar("SELECT rolname::text FROM pg_roles WHERE rolname LIKE $1")
                .bind(&like)
                .fetch_all(&mut db)
                .await?;
        for role in roles {
            db.execute(format!("DROP OWNED BY \"{role}\"").as_str()).await?;
            db.execute(format!("DROP ROLE \"{role}\"").as_str()).await?;
        }
        Ok(())
    }

    /// Deletes the indices that are there.
    ///
    /// # Errors
    /// When Elasticsearch refuses or doesn't answer.
    pub async fn delete_indices(&self) -> anyhow::Result<()> {
        let http = reqwest::Client::new();
        let base = &self.engines.elasticsearch;
        let found = http.get(format!("{base}/{}-*/_alias", self.name)).send().await?.error_for_status()?;
        // Patterns may not be deleted, names may.
        let found: Value = serde_json::from_str(&found.text().await?)?;
        for index in found.as_object().into_iter().flat_map(|found| found.keys()) {
            let gone = http.delete(format!("{base}/{index}")).send().await?;
            if gone.status() != reqwest::StatusCode::NOT_FOUND {
                gone.error_for_status()?;
            }
        }
        Ok(())
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let name = self.name.clone();
        // A thread with a runtime of its own: the test's may be the one that is dropping.
        let removed = std::thread::scope(|scope| {
            let remove = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                // Within the runtime, whose timer the bound needs.
                let bounded = async { tokio::time::timeout(Duration::from_secs(60), self.remove()).await };
                let bounded = runtime.block_on(bounded);
                bounded.unwrap_or_else(|_| Err(anyhow::anyhow!("it takes too long")))
            };
            scope.spawn(remove).join()
        });
        match removed {
            Ok(Ok(())) => {}
            // The test has ended by now, so this is told and no more.
            Ok(Err(error)) => complain(&format!("{name} can't be removed: {error:#}")),
            Err(_) => complain(&format!("{name} can't be removed: a panic")),
        }
    }
}

#[expect(clippy::print_stderr, reason = "the output of a test")]
fn complain(what: &str) {
    eprintln!("{what}");
}
