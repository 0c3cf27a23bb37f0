//! The types of configuration values: each reads and writes one text.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Serialises a type by its text form.
macro_rules! as_text {
    ($($name:ty),+ $(,)?) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )+};
}

/// A length of time as people write it: `250ms`, `5s`, `15m`, `2h`, `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// A number of milliseconds.
    #[must_use]
    pub const fn millis(n: u64) -> Self {
        Self(Duration::from_millis(n))
    }

    /// A number of seconds.
    #[must_use]
    pub const fn seconds(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }
}

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (unit, size) =
            UNITS.iter().find(|(_, size)| millis >= *size && millis % size == 0).unwrap_or(&("ms", 1));
        write!(f, "{}{unit}", millis / size)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let millis = UNITS
            .iter()
            .find(|(name, _)| *name == unit.trim())
            .and_then(|(_, size)| number.parse::<u64>().ok()?.checked_mul(*size));
        millis
            .map(Self::millis)
            .ok_or_else(|| format!("`{text}` is not a length of time like 250ms, 5s, 15m, 2h or 30d"))
    }
}

/// Why a backend's URL can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedBackend {
    /// Known to the design, absent here.
    #[error("`{0}` is not supported by this build yet; use {1}")]
    NotYet(String, &'static str),
    /// Known to nobody.
    #[error("`{0}` names no backend; use {1}")]
    Unknown(String, &'static str),
}

fn scheme_of(text: &str) -> &str {
    text.split_once(':').map_or("", |(scheme, _)| scheme)
}

fn unsupported(text: &str, planned: &[&str], instead: &'static str) -> UnsupportedBackend {
    // The rest of a URL may hold a password, so only its scheme is repeated.
    let scheme = scheme_of(text);
    if planned.contains(&scheme) {
        UnsupportedBackend::NotYet(format!("{scheme}:"), instead)
    } else if scheme.is_empty() {
        UnsupportedBackend::Unknown(text.to_owned(), instead)
    } else {
        UnsupportedBackend::Unknown(format!("{scheme}:"), instead)
    }
}

/// Declares the URL of a backend that keeps its files in a directory.
macro_rules! directory_url {
    ($(#[$doc:meta])* $name:ident, $scheme:literal, $planned:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $name(Option<PathBuf>);

        impl $name {
            /// The directory that the URL names.
            #[must_use]
            pub fn named(&self) -> Option<&Path> {
                self.0.as_deref()
            }

            /// The backend's directory; `data_dir` when the URL names none.
            #[must_use]
            pub fn directory<'a>(&'a self, data_dir: &'a Path) -> &'a Path {
                self.0.as_deref().unwrap_or(data_dir)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{}", $scheme, self.0.as_deref().unwrap_or(Path::new("")).display())
            }
        }

        impl FromStr for $name {
            type Err = UnsupportedBackend;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text.split_once(':') {
                    Some(($scheme, "")) => Ok(Self(None)),
                    Some(($scheme, path)) => Ok(Self(Some(PathBuf::from(path)))),
                    _ => Err(unsupported(text, $planned, concat!("`", $scheme, ":` or `", $scheme, ":<directory>`"))),
                }
            }
        }
    };
}

/// Declares the URL of a backend that has nothing to say but its scheme.
macro_rules! bare_url {
    ($(#[$doc:meta])* $name:ident, $scheme:literal, $planned:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct $name;

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($scheme, ":"))
            }
        }

        impl FromStr for $name {
            type Err = UnsupportedBackend;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if text == concat!($scheme, ":") {
                    return Ok(Self);
                }
                Err(unsupported(text, $planned, concat!("`", $scheme, ":`")))
            }
        }
    };
}

directory_url!(
    /// Where the event log is.
    LogUrl, "sqlite", &["cassandra", "scylla"]
);
directory_url!(
    /// Where the read models are.
    ReadUrl, "sqlite", &["postgres", "postgresql"]
);
bare_url!(
    /// Where the search index is.
    SearchUrl, "tantivy", &["elasticsearch", "http", "https"]
);
bare_url!(
    /// How decided events reach their consumers.
    FeedUrl, "memory", &["kafka"]
);
directory_url!(
    /// Who takes payments.
    PaymentsUrl, "simulator", &["stripe"]
);
directory_url!(
    /// Who carries shipments.
    CarrierUrl, "simulator", &[]
);

/// Declares an enum that is written in words.
macro_rules! words {
    ($(#[$doc:meta])* pub enum $name:ident ($what:literal) { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("`{text}` is not {}; use one of: {}", $what, [$($word),+].join(", "))),
                }
            }
        }
    };
}

words! {
    /// A part of Tillstream that can run in a process of its own, given backends that processes can share.
    pub enum Role ("a role") {
        /// Owns shards and answers commands.
        CommandApi = "command-api",
        /// Applies events to read models and search.
        Projections = "projections",
        /// Answers queries.
        QueryApi = "query-api",
        /// Drives orders.
        Sagas = "sagas",
    }
}

words! {
    /// How the program's own logs look.
    pub enum LogFormat ("a log format") {
        /// For people.
        Human = "human",
        /// One JSON object per line.
        Json = "json",
    }
}

as_text!(Span, LogUrl, ReadUrl, SearchUrl, FeedUrl, PaymentsUrl, CarrierUrl, Role, LogFormat);
