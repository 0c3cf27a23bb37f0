//! `kafka://host:port[,host:port…]/topic`: where the topic is.

use std::fmt;
use std::str::FromStr;

use crate::config::{MalformedUrl, UrlForm, UrlParts};

const FORM: UrlForm = UrlForm {
    example: "kafka://host:port[,host:port…]/topic[?replication=3]",
    schemes: &["kafka"],
    port: None,
    parameters: &["replication"],
};

/// The brokers to ask first, the topic, and how it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaUrl {
    parts: UrlParts,
    replication: Option<u16>,
}

impl KafkaUrl {
    /// `host:port[,host:port…]`.
    #[must_use]
    pub fn brokers(&self) -> String {
        self.parts.hosts.join(",")
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.parts.path
    }

    /// How many brokers shall keep each record; `None`: three, or as many as there are.
    #[must_use]
    pub fn replication(&self) -> Option<u16> {
        self.replication
    }
}

fn names_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

fn is_topic(text: &str) -> bool {
    // Kafka allows 249; consumer groups are named after the topic.
    (1..=200).contains(&text.len())
        && text != "."
        && text != ".."
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

impl FromStr for KafkaUrl {
    type Err = MalformedUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        FORM.split(text).and_then(read).map_err(|reason| FORM.malformed(reason))
    }
}

fn read(parts: UrlParts) -> Result<KafkaUrl, String> {
    if parts.login.is_some() {
        return Err("it can't carry credentials: this build connects without authentication".to_owned());
    }
    if let Some(host) = parts.hosts.iter().find(|host| !names_port(host)) {
        return Err(format!("`{host}` is not a broker's host:port"));
    }
    if !is_topic(&parts.path) {
        return Err(format!(
            "`{}` is not a topic's name: 1 to 200 letters, digits, dots, underscores or dashes",
            parts.path
        ));
    }
    let replication = parts.get("replication").map(|number| {
        let count = number.parse().ok().filter(|n| (1..=1000).contains(n));
        count.ok_or_else(|| format!("replication is a number from 1 on, not `{number}`"))
    });
    let replication = replication.transpose()?;
    Ok(KafkaUrl { parts, replication })
}

impl fmt::Display for KafkaUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.fmt(f)
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
        for (text, reason) in [
            ("http://a:1/t", "scheme is not kafka"),
            ("kafka://a:1", "`` is not a topic's name"),
            ("kafka://a/t", "`a` is not a broker's host:port"),
            ("kafka://a:1,[::1]/t", "`[::1]` is not a broker's host:port"),
            ("kafka://a:1,/t", "``"),
            ("kafka://a:0/t", "`a:…`"),
            ("kafka://u:p@a:1/t", "can't carry credentials: this build connects without authentication"),
            (
                "kafka://a:1/",
                "`` is not a topic's name: 1 to 200 letters, digits, dots, underscores or dashes",
            ),
            ("kafka://a:1/b/c", "`b/c` is not a topic's name"),
            ("kafka://a:1/..", "`..` is not a topic's name"),
            ("kafka://a:1/t?acks=1", "it has no parameter `acks`; there is replication"),
            ("kafka://a:1/t?replication=0", "replication is a number from 1 on, not `0`"),
        ] {
            let error = text.parse::<KafkaUrl>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
