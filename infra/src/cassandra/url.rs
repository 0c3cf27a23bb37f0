//! Where a store lives: `cassandra://[user:password@]host[:port][,host[:port]…]/keyspace[?replication=3&datacenter=dc1&timeout=10s]`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::config::Span;

/// The port that Cassandra and ScyllaDB listen on by default.
const PORT: u16 = 9042;
/// The longest name of a keyspace.
const MAX_KEYSPACE: usize = 48;
/// A request is given up after this long unless the URL says otherwise.
const TIMEOUT: Span = Span::seconds(10);

/// The address of a store on Cassandra or ScyllaDB. `scylla://` means the same; the server says itself what it is.
///
/// Parameters: `replication`, the replicas that [`migrate`](super::CassandraLog::migrate) gives a new keyspace (the smaller of
/// 3 and the number of nodes by default); `datacenter`, the local one, to be named when there are several; `timeout`, after
/// which the outcome of a request counts as unknown (10s). Reserved characters of user and password are percent-encoded.
#[derive(Clone, PartialEq, Eq)]
pub struct CassandraUrl {
    hosts: Vec<String>,
    login: Option<(String, String)>,
    keyspace: String,
    replication: Option<u8>,
    datacenter: Option<String>,
    timeout: Span,
}

impl CassandraUrl {
    /// `host:port` of the nodes to ask for the others.
    #[must_use]
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// User and password, when the server asks for them.
    #[must_use]
    pub fn login(&self) -> Option<(&str, &str)> {
        self.login.as_ref().map(|(user, password)| (user.as_str(), password.as_str()))
    }

    /// The keyspace; letters, digits and `_`.
    #[must_use]
    pub fn keyspace(&self) -> &str {
        &self.keyspace
    }

    /// How many replicas a new keyspace gets; `None` for the default.
    #[must_use]
    pub fn replication(&self) -> Option<u8> {
        self.replication
    }

    /// The local data centre, when it was named.
    #[must_use]
    pub fn datacenter(&self) -> Option<&str> {
        self.datacenter.as_deref()
    }

    /// How long a request may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout.0
    }
}

impl fmt::Debug for CassandraUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Never the password.
impl fmt::Display for CassandraUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cassandra://")?;
        if let Some((user, _)) = &self.login {
            write!(f, "{}:***@", encoded(user))?;
        }
        write!(f, "{}/{}", self.hosts.join(","), self.keyspace)?;
        let mut separator = '?';
        let mut parameter = |f: &mut fmt::Formatter<'_>, name: &str, value: &dyn fmt::Display| {
            let written = write!(f, "{separator}{name}={value}");
            separator = '&';
            written
        };
        if let Some(replication) = self.replication {
            parameter(f, "replication", &replication)?;
        }
        if let Some(datacenter) = &self.datacenter {
            parameter(f, "datacenter", &encoded(datacenter))?;
        }
        if self.timeout != TIMEOUT {
            parameter(f, "timeout", &self.timeout)?;
        }
        Ok(())
    }
}

/// Why a text is no such URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a URL like cassandra://host:9042/keyspace: {0}")]
pub struct MalformedUrl(String);

impl FromStr for CassandraUrl {
    type Err = MalformedUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(MalformedUrl)
    }
}

fn parse(text: &str) -> Result<CassandraUrl, String> {
    let (scheme, rest) = text.split_once("://").ok_or("it has no scheme")?;
    if !matches!(scheme, "cassandra" | "scylla") {
        return Err(format!("its scheme is `{scheme}`"));
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, keyspace) = rest.split_once('/').ok_or("it names no keyspace")?;
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => {
            let (user, password) = login.split_once(':').ok_or("the user has no password")?;
            (Some((decoded(user)?, decoded(password)?)), hosts)
        }
        None => (None, authority),
    };
    let hosts = hosts.split(',').map(host).collect::<Result<_, _>>()?;
    let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = keyspace.starts_with(|c: char| c.is_ascii_lowercase());
    if !begins || keyspace.len() > MAX_KEYSPACE || !keyspace.chars().all(named) {
        return Err(format!(
            "the keyspace `{keyspace}` is not 1 to {MAX_KEYSPACE} lower-case letters, digits and _, beginning with a letter"
        ));
    }
    let keyspace = keyspace.to_owned();
    let mut url =
        CassandraUrl { hosts, login, keyspace, replication: None, datacenter: None, timeout: TIMEOUT };
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name {
            "replication" => {
                let replicas = value.parse().ok().filter(|n| *n > 0);
                url.replication = Some(replicas.ok_or_else(|| format!("replication `{value}` is no count"))?);
            }
            "datacenter" if !value.is_empty() => url.datacenter = Some(decoded(value)?),
            "timeout" => {
                let timeout: Span = value.parse().map_err(|e| format!("timeout: {e}"))?;
                if timeout.0.is_zero() {
                    return Err("a timeout of nothing".to_owned());
                }
                url.timeout = timeout;
            }
            _ => return Err(format!("unknown or empty parameter `{name}`")),
        }
    }
    Ok(url)
}

fn host(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is not host or host:port");
    // An IPv6 address stands in brackets.
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']').ok_or_else(wrong)?;
            let port = if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(wrong)?) };
            (format!("[{name}]"), port)
        }
        None => match text.split_once(':') {
            Some((name, port)) => (name.to_owned(), Some(port)),
            None => (text.to_owned(), None),
        },
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?,
        None => PORT,
    };
    if name.is_empty() || name == "[]" || name.contains(char::is_whitespace) {
        return Err(wrong());
    }
    Ok(format!("{name}:{port}"))
}

fn encoded(text: &str) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    text.bytes().map(|b| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn decoded(text: &str) -> Result<String, String> {
    let wrong = || "a % is not followed by two hex digits of UTF-8 text".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        bytes.push(digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or_else(wrong)?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| wrong())
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
        assert_eq!(format!("{url} {url:?}").matches("shop:***@db").count(), 2);
    }

    #[test]
    fn it_refuses_what_it_does_not_know() {
        for (text, reason) in [
            ("127.0.0.1:9042/t", "no scheme"),
            ("http://a/t", "scheme is `http`"),
            ("cassandra://a", "no keyspace"),
            ("cassandra://a/", "keyspace ``"),
            ("cassandra://a/Shop", "keyspace `Shop`"),
            ("cassandra://a/x;drop", "keyspace `x;drop`"),
            ("cassandra://a:b/t", "`a:b`"),
            ("cassandra://a,,b/t", "``"),
            ("cassandra://user@a/t", "no password"),
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
