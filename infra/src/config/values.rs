//! The types of configuration values: each reads and writes one text.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::backend_urls::{CarrierUrl, FeedUrl, KeysUrl, LogUrl, PaymentsUrl, ReadUrl, SearchUrl};

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

/// An address to listen on, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    Off,
    /// There.
    At(SocketAddr),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            _ => text
                .parse()
                .map(Self::At)
                .map_err(|_| format!("`{text}` is neither an address like 127.0.0.1:9090 nor `off`")),
        }
    }
}

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

as_text!(
    Span,
    Listen,
    LogUrl,
    ReadUrl,
    SearchUrl,
    FeedUrl,
    KeysUrl,
    PaymentsUrl,
    CarrierUrl,
    Role,
    LogFormat
);
