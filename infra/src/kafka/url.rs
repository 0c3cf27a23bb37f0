//! `kafka://host:port[,host:port…]/topic`: where the topic is.

use std::fmt;
use std::str::FromStr;

/// The brokers to ask first, the topic, and how it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaUrl {
    brokers: String,
    topic: String,
    replication: Option<u16>,
}

/// Why a text is no [`KafkaUrl`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedKafkaUrl {
    /// It has another shape.
    #[error("a kafka url has the form kafka://host:port[,host:port…]/topic[?replication=3]")]
    Form,
    /// Not a broker's address.
    #[error("`{0}` is not a broker's host:port")]
    Broker(String),
    /// Kafka would refuse the name.
    #[error("`{0}` is not a topic's name: 1 to 200 letters, digits, dots, underscores or dashes")]
    Topic(String),
    /// Credentials, which this build can't use.
    #[error("a kafka url can't carry credentials: this build connects without authentication")]
    Credentials,
    /// A query parameter that doesn't exist.
    #[error("`{0}` is not a parameter of a kafka url; there is: replication")]
    Parameter(String),
    /// A parameter's value.
    #[error("replication is a number from 1 on, not `{0}`")]
    Replication(String),
}

impl KafkaUrl {
    /// `host:port[,host:port…]`.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// How many brokers shall keep each record; `None`: three, or as many as there are.
    #[must_use]
    pub fn replication(&self) -> Option<u16> {
        self.replication
    }
}

fn is_broker(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let named = !host.is_empty() && !host.contains([':', '/', '?', '#', ' ']);
        (bracketed || named) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

fn is_topic(text: &str) -> bool {
    // Kafka allows 249; consumer groups are named after the topic.
    (1..=200).contains(&text.len())
        && text != "."
        && text != ".."
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

impl FromStr for KafkaUrl {
    type Err = MalformedKafkaUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("kafka://").ok_or(MalformedKafkaUrl::Form)?;
        let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
        let (brokers, topic) = place.split_once('/').ok_or(MalformedKafkaUrl::Form)?;
        if brokers.contains('@') {
            return Err(MalformedKafkaUrl::Credentials);
        }
        if let Some(wrong) = brokers.split(',').find(|broker| !is_broker(broker)) {
            return Err(MalformedKafkaUrl::Broker(wrong.to_owned()));
        }
        if !is_topic(topic) {
            return Err(MalformedKafkaUrl::Topic(topic.to_owned()));
        }
        let mut url = Self { brokers: brokers.to_owned(), topic: topic.to_owned(), replication: None };
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if name != "replication" {
                return Err(MalformedKafkaUrl::Parameter(name.to_owned()));
            }
            let number = value.parse().ok().filter(|n| (1..=1000).contains(n));
            url.replication = Some(number.ok_or_else(|| MalformedKafkaUrl::Replication(value.to_owned()))?);
        }
        Ok(url)
    }
}

impl fmt::Display for KafkaUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kafka://{}/{}", self.brokers, self.topic)?;
        self.replication.map_or(Ok(()), |replication| write!(f, "?replication={replication}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_round_trip() {
        for text in [
            "kafka://a:9092/tillstream",
            "kafka://10.0.0.1:1,[::1]:2,b.example.org:65535/a.b-c_D?replication=3",
        ] {
            assert_eq!(text.parse::<KafkaUrl>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, message) in [
            ("http://a:1/t", "a kafka url has the form kafka://host:port[,host:port…]/topic[?replication=3]"),
            ("kafka://a:1", "a kafka url has the form kafka://host:port[,host:port…]/topic[?replication=3]"),
            ("kafka://a/t", "`a` is not a broker's host:port"),
            ("kafka://a:1,/t", "`` is not a broker's host:port"),
            ("kafka://a:0/t", "`a:0` is not a broker's host:port"),
            (
                "kafka://u:p@a:1/t",
                "a kafka url can't carry credentials: this build connects without authentication",
            ),
            (
                "kafka://a:1/",
                "`` is not a topic's name: 1 to 200 letters, digits, dots, underscores or dashes",
            ),
            (
                "kafka://a:1/b/c",
                "`b/c` is not a topic's name: 1 to 200 letters, digits, dots, underscores or dashes",
            ),
            ("kafka://a:1/t?acks=1", "`acks` is not a parameter of a kafka url; there is: replication"),
            ("kafka://a:1/t?replication=0", "replication is a number from 1 on, not `0`"),
        ] {
            assert_eq!(text.parse::<KafkaUrl>().unwrap_err().to_string(), message, "{text}");
        }
    }
}
