//! Which family of backends a configuration names, and whether a process can use it.

use std::net::SocketAddr;
use std::path::Path;

use super::{Config, ConfigError, Directory, FeedUrl, KeysUrl, LogUrl, ReadUrl, Role, SearchUrl};
use crate::cassandra::CassandraUrl;
use crate::elasticsearch::ElasticsearchUrl;
use crate::kafka::KafkaUrl;
use crate::postgres::{PostgresUrl, keys};

/// A family of backends.
#[derive(Debug)]
pub enum Family<'a> {
    /// In directories of this process.
    Embedded(Embedded<'a>),
    /// On servers.
    Distributed(Box<Distributed<'a>>),
}

/// Where the embedded backends are.
#[derive(Debug, Clone, Copy)]
pub struct Embedded<'a> {
    /// The data directory.
    pub data: &'a Path,
    /// The log's.
    pub log: &'a Path,
    /// The read models' and the search index's.
    pub read: &'a Path,
}

impl Embedded<'_> {
    /// Every directory; a process holds all of them. Some may be the same.
    #[must_use]
    pub fn directories(&self) -> [&Path; 3] {
        [self.data, self.log, self.read]
    }
}

/// Where the distributed backends are.
#[derive(Debug, Clone)]
pub struct Distributed<'a> {
    /// The event log.
    pub log: &'a CassandraUrl,
    /// The fan-out.
    pub feed: &'a KafkaUrl,
    /// The read models.
    pub read: &'a PostgresUrl,
    /// The search indices.
    pub search: &'a ElasticsearchUrl,
    /// Subjects' keys and the instances' own.
    pub keys: PostgresUrl,
}

impl Config {
    /// The family that this configuration names.
    ///
    /// # Errors
    /// [`ConfigError::Conflict`] when it names backends of both.
    pub fn family(&self) -> Result<Family<'_>, ConfigError> {
        let data = self.data.dir.as_path();
        match (&self.log.url, &self.feed.url, &self.read.url, &self.search.url) {
            (LogUrl::Sqlite(log), FeedUrl::Memory(_), ReadUrl::Sqlite(read), SearchUrl::Tantivy(_)) => {
                if let KeysUrl::Postgres(url) = &self.keys.url {
                    return conflict(format!(
                        "keys.url = \"{url}\" is for distributed backends; leave it out"
                    ));
                }
                Ok(Family::Embedded(Embedded { data, log: log.or(data), read: read.or(data) }))
            }
            (
                LogUrl::Cassandra(log),
                FeedUrl::Kafka(feed),
                ReadUrl::Postgres(read),
                SearchUrl::Elasticsearch(search),
            ) => {
                let keys = match &self.keys.url {
                    KeysUrl::Postgres(url) => (**url).clone(),
                    KeysUrl::WithTheRest => keys::beside(read).or_else(|e| conflict(e.to_string()))?,
                    KeysUrl::Sqlite => {
                        let reason = "keys.url = \"sqlite:\" keeps keys where no other process finds them, and log.url is \
                                      for many processes: name a postgres:// URL, or leave keys.url out";
                        return conflict(reason.to_owned());
                    }
                };
                Ok(Family::Distributed(Box::new(Distributed { log, feed, read, search, keys })))
            }
            (log, feed, read, search) => conflict(format!(
                "log.url = \"{log}\", feed.url = \"{feed}\", read.url = \"{read}\" and search.url = \"{search}\" don't work \
                 together: either all are embedded (sqlite:, memory:, sqlite:, tantivy:) or none (cassandra://, kafka://, \
                 postgres://, http://)"
            )),
        }
    }

    /// `host:port` by which other processes reach one that listens on `address`.
    #[must_use]
    pub fn advertised(&self, address: SocketAddr) -> String {
        match self.http.advertise.as_str() {
            "" => address.to_string(),
            named => named.to_owned(),
        }
    }

    /// The roles that this process runs.
    #[must_use]
    pub fn running(&self) -> Vec<Role> {
        Role::ALL.iter().copied().filter(|role| self.runs(*role)).collect()
    }

    /// Whether this process runs a role.
    #[must_use]
    pub fn runs(&self, role: Role) -> bool {
        self.roles.run.is_empty() || self.roles.run.contains(&role)
    }

    /// The simulators' keys, with the directories of their books where they are named.
    #[must_use]
    pub fn simulators(&self) -> [(&'static str, Option<&Directory>); 2] {
        [("payments.url", self.payments.url.directory()), ("carrier.url", self.carrier.url.directory())]
    }

    /// Whether this process can run its roles on the backends configured; what an application needs beside them is its own to check.
    ///
    /// # Errors
    /// [`ConfigError::Conflict`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let split = self.running().len() < Role::ALL.len();
        match self.family()? {
            Family::Embedded(_) if split => {
                let asked: Vec<String> = self.roles.run.iter().map(ToString::to_string).collect();
                return conflict(format!(
                    "the roles {} can't run on their own: log.url = \"{}\" and feed.url = \"{}\" are embedded in one process, so \
                     run every role (leave --role out)",
                    asked.join(", "),
                    self.log.url,
                    self.feed.url
                ));
            }
            Family::Embedded(_) => {}
            Family::Distributed(_) => {
                let ip = self.http.listen.ip();
                if self.runs(Role::CommandApi) && ip.is_unspecified() && self.http.advertise.is_empty() {
                    return conflict(format!(
                        "http.listen = \"{}\" is no address that other processes could reach this one by: set http.advertise \
                         to its host:port",
                        self.http.listen
                    ));
                }
            }
        }
        Ok(())
    }
}

fn conflict<T>(reason: String) -> Result<T, ConfigError> {
    Err(ConfigError::Conflict(reason))
}
