//! Where a store lives: `cassandra://[user:password@]host[:port][,host[:port]…]/keyspace[?replication=3&datacenter=dc1&timeout=10s]`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::config::{MalformedUrl, Span, UrlForm, UrlParts};

const FORM: UrlForm = UrlForm {
    example: "cassandra://host:9042/keyspace",
    schemes: &["cassandra", "scylla"],
    port: Some(9042),
    parameters: &["replication", "datacenter", "timeout"],
};
/// The longest name of a keyspace.
const MAX_KEYSPACE: usize = 48;
/// A request is given up after this long unless the URL says otherwise.
const TIMEOUT: Span = Span::seconds(10);

/// The address of a store on Cassandra or ScyllaDB. `scylla://` means the same; the server says itself what it is.
///
/// Parameters: `replication`, the replicas that [`migrate`](super::CassandraLog::migrate) gives a new keyspace (the smaller of
/// 3 and the number of nodes by default); `datacenter`, the local one, to be named when there are several; `timeout`, after
/// which the outcome of a request counts as unknown (10s). Reserved characters of user and password are percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CassandraUrl {
    parts: UrlParts,
    replication: Option<u8>,
    timeout: Span,
}

impl CassandraUrl {
    /// `host:port` of the nodes to ask for the others.
    #[must_use]
    pub fn hosts(&self) -> &[String] {
        &self.parts.hosts
    }

    /// User and password, when the server asks for them.
    #[must_use]
    pub fn login(&self) -> Option<(&str, &str)> {
        self.parts.whole_login()
    }

    /// The keyspace; letters, digits and `_`.
    #[must_use]
    pub fn keyspace(&self) -> &str {
        &self.parts.path
    }

    /// How many replicas a new keyspace gets; `None` for the default.
    #[must_use]
    pub fn replication(&self) -> Option<u8> {
        self.replication
    }

    /// The local data centre, when it was named.
    #[must_use]
    pub fn datacenter(&self) -> Option<&str> {
        self.parts.get("datacenter")
    }

    /// How long a request may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout.0
    }
}

/// Never the password.
impl fmt::Display for CassandraUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.fmt(f)
    }
}

impl FromStr for CassandraUrl {
    type Err = MalformedUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        FORM.split(text).and_then(read).map_err(|reason| FORM.malformed(reason))
    }
}

fn read(mut parts: UrlParts) -> Result<CassandraUrl, String> {
    parts.scheme = "cassandra";
    parts.check_login()?;
    let keyspace = &parts.path;
    let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = keyspace.starts_with(|c: char| c.is_ascii_lowercase());
    if !begins || keyspace.len() > MAX_KEYSPACE || !keyspace.chars().all(named) {
        return Err(format!(
            "the keyspace `{keyspace}` is not 1 to {MAX_KEYSPACE} lower-case letters, digits and _, beginning with a letter"
        ));
    }
    let replication = parts.get("replication").map(|count| {
        count.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("replication `{count}` is no count"))
    });
    let replication = replication.transpose()?;
    if parts.get("datacenter") == Some("") {
        return Err("the datacenter has no name".to_owned());
    }
    let timeout = parts.get("timeout").map_or(Ok(TIMEOUT), str::parse);
    let timeout: Span = timeout.map_err(|e| format!("timeout: {e}"))?;
    if timeout.0.is_zero() {
        return Err("a timeout of nothing".to_owned());
    }
    Ok(CassandraUrl { parts, replication, timeout })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> CassandraUrl {
        text.parse().unwrap()
    }

    #[test]
    fn it_reads_what_it_writes() {
        for text in [
            "cassandra://127.0.0.1:9042/tillstream",
            "cassandra://a:1,b:2,[::1]:3/t_1?replication=3&datacenter=dc1&timeout=2s",
        ] {
            assert_eq!(url(text).to_string(), text);
        }
        assert_eq!(url("scylla://a,[::1]/t").to_string(), "cassandra://a:9042,[::1]:9042/t");
        assert_eq!(url("cassandra://a/t").timeout(), Duration::from_secs(10));
    }

    #[test]
    fn it_never_shows_the_password() {
        let url = url("cassandra://shop:p%40ss%2Fword@db:9042/t");
        assert_eq!(url.login(), Some(("shop", "p@ss/word")));
        assert_eq!(format!("{url} {url:?}").matches("shop@db").count(), 2);
    }

    #[test]
    fn it_refuses_what_it_does_not_know() {
        for (text, reason) in [
            ("127.0.0.1:9042/t", "no scheme"),
            ("http://a/t", "scheme is not cassandra or scylla"),
            ("cassandra://a", "keyspace ``"),
            ("cassandra://a/", "keyspace ``"),
            ("cassandra://a/Shop", "keyspace `Shop`"),
            ("cassandra://a/x;drop", "keyspace `x;drop`"),
            ("cassandra://a:b/t", "`a:…` is not host or host:port"),
            ("cassandra://a,,b/t", "``"),
            ("cassandra://user@a/t", "a user needs a password"),
            ("cassandra://u:%zz@a/t", "hex digits"),
            ("cassandra://a/t?replication=0", "replication `0`"),
            ("cassandra://a/t?timeout=soon", "timeout"),
            ("cassandra://a/t?ssl=1", "parameter `ssl`"),
        ] {
            let error = text.parse::<CassandraUrl>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
