//! The URLs of backends: each port's embedded one, and the one that processes on many machines share.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::MalformedUrl;
use crate::cassandra::CassandraUrl;
use crate::elasticsearch::ElasticsearchUrl;
use crate::kafka::KafkaUrl;
use crate::postgres::PostgresUrl;

/// Why a backend's URL can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedBackend {
    /// Known to the design, absent here.
    #[error("`{0}` is not supported by this build yet; use {1}")]
    NotYet(String, &'static str),
    /// Known to nobody.
    #[error("`{0}` names no backend; use {1}")]
    Unknown(String, &'static str),
    /// The backend says what is wrong.
    #[error(transparent)]
    Malformed(#[from] MalformedUrl),
}

fn scheme_of(text: &str) -> &str {
    text.split_once(':').map_or("", |(scheme, _)| scheme)
}

fn unsupported(text: &str, planned: &[&str], instead: &'static str) -> UnsupportedBackend {
    // The rest of a URL may hold a password, so only its scheme is repeated.
    let shown = text.split_inclusive(':').next().unwrap_or_default().to_owned();
    match planned.contains(&scheme_of(text)) {
        true => UnsupportedBackend::NotYet(shown, instead),
        false => UnsupportedBackend::Unknown(shown, instead),
    }
}

/// A directory that a URL may name after its scheme; the data directory when it names none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directory(Option<PathBuf>);

impl Directory {
    fn read(text: &str) -> Self {
        let path = text.split_once(':').map_or("", |(_, path)| path);
        Self(Some(PathBuf::from(path)).filter(|path| !path.as_os_str().is_empty()))
    }

    /// The directory that the URL names.
    #[must_use]
    pub fn named(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// The backend's directory; `data_dir` when the URL names none.
    #[must_use]
    pub fn or<'a>(&'a self, data_dir: &'a Path) -> &'a Path {
        self.named().unwrap_or(data_dir)
    }

    fn fmt(&self, scheme: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{scheme}:{}", self.named().unwrap_or(Path::new("")).display())
    }
}

/// Declares the URL of a simulator, which keeps its books in a directory. It is empty until it is set: nobody simulates unawares.
macro_rules! simulator_url {
    ($(#[$doc:meta])* $name:ident, $planned:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $name(Option<Directory>);

        impl $name {
            /// The directory of the books, where it names the simulator.
            #[must_use]
            pub fn directory(&self) -> Option<&Directory> {
                self.0.as_ref()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_ref().map_or(Ok(()), |directory| directory.fmt("simulator", f))
            }
        }

        impl FromStr for $name {
            type Err = UnsupportedBackend;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match scheme_of(text) {
                    "simulator" => Ok(Self(Some(Directory::read(text)))),
                    _ if text.is_empty() => Ok(Self(None)),
                    _ => Err(unsupported(text, $planned, "`simulator:` or `simulator:<directory>`")),
                }
            }
        }
    };
}

simulator_url!(
    /// Who takes payments.
    PaymentsUrl, &["stripe"]
);
simulator_url!(
    /// Who carries shipments.
    CarrierUrl, &[]
);

/// Declares the URL of a port that has an embedded backend and a distributed one.
macro_rules! backend_url {
    ($(#[$doc:meta])* $name:ident, $embedded:ident = $scheme:literal, $distributed:ident($url:ty) = $schemes:pat, $instead:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            /// In a directory, or in the memory, of the one process that may use it.
            $embedded(Directory),
            /// On servers that many processes share.
            $distributed(Box<$url>),
        }

        impl Default for $name {
            fn default() -> Self {
                Self::$embedded(Directory::default())
            }
        }

        impl fmt::Display for $name {
            /// Never with a password.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::$embedded(directory) => directory.fmt($scheme, f),
                    Self::$distributed(url) => url.fmt(f),
                }
            }
        }

        impl FromStr for $name {
            type Err = UnsupportedBackend;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match scheme_of(text) {
                    $scheme => Ok(Self::$embedded(Directory::read(text))),
                    $schemes => Ok(Self::$distributed(Box::new(text.parse()?))),
                    _ => Err(unsupported(text, &[], $instead)),
                }
            }
        }
    };
}

backend_url!(
    /// Where the event log is.
    LogUrl, Sqlite = "sqlite", Cassandra(CassandraUrl) = "cassandra" | "scylla",
    "`sqlite:`, `sqlite:<directory>` or `cassandra://host:port/keyspace`"
);
backend_url!(
    /// How decided events reach their consumers.
    FeedUrl, Memory = "memory", Kafka(KafkaUrl) = "kafka",
    "`memory:` or `kafka://host:port/topic`"
);
backend_url!(
    /// Where the read models are.
    ReadUrl, Sqlite = "sqlite", Postgres(PostgresUrl) = "postgres" | "postgresql",
    "`sqlite:`, `sqlite:<directory>` or `postgres://user@host/database`"
);
backend_url!(
    /// Where the search index is.
    SearchUrl, Tantivy = "tantivy", Elasticsearch(ElasticsearchUrl) = "http" | "https",
    "`tantivy:` or `http://host:port/prefix`"
);

/// Where the keys of data subjects are, and with distributed backends the instances' own keys too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum KeysUrl {
    /// Where the family of the other backends keeps them.
    #[default]
    WithTheRest,
    /// In the data directory of the one process that may use it.
    Sqlite,
    /// On a server that many processes share.
    Postgres(Box<PostgresUrl>),
}

impl fmt::Display for KeysUrl {
    /// Never with a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WithTheRest => Ok(()),
            Self::Sqlite => f.write_str("sqlite:"),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl FromStr for KeysUrl {
    type Err = UnsupportedBackend;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, scheme_of(text)) {
            ("", _) => Ok(Self::WithTheRest),
            ("sqlite:", _) => Ok(Self::Sqlite),
            (_, "postgres" | "postgresql") => Ok(Self::Postgres(Box::new(text.parse()?))),
            _ => Err(unsupported(text, &[], "`sqlite:` or `postgres://user@host/database`")),
        }
    }
}
