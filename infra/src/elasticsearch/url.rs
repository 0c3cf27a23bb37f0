//! The URL of an Elasticsearch cluster and of Tillstream's indices in it.

use std::fmt;
use std::str::FromStr;

use ::elasticsearch::http::Url;

/// The prefix when the URL names none.
const DEFAULT_PREFIX: &str = "tillstream";
/// Index names have at most 255 bytes; the prefix is a part of them.
const MAX_PREFIX: usize = 100;

/// `http(s)://[user:password@]host[:port][/prefix][?replicas=n]`. The prefix begins the names of all indices. `replicas` is the
/// number of copies of each shard of a new index; without it there is one as soon as there is a second node.
#[derive(Clone, PartialEq, Eq)]
pub struct ElasticsearchUrl {
    /// Without user, password, path and query.
    base: Url,
    credentials: Option<(String, String)>,
    prefix: String,
    replicas: Option<u16>,
}

/// Why a text is no URL of an Elasticsearch. Never repeats the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedElasticsearchUrl {
    /// Not of the form.
    #[error("not a url of the form http(s)://[user:password@]host[:port][/prefix]: {0}")]
    Form(String),
    /// The path is no prefix.
    #[error(
        "the index prefix must be 1 to {MAX_PREFIX} lower-case letters, digits, `-` or `_`, the first a letter or digit"
    )]
    Prefix,
    /// A query parameter that means nothing.
    #[error("unknown parameter {0}; there is `replicas`")]
    Parameter(String),
    /// `replicas` is no number.
    #[error("`replicas` must be a number from 0 to 10")]
    Replicas,
}

impl ElasticsearchUrl {
    /// What the names of the indices begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The same cluster with other indices.
    ///
    /// # Errors
    /// [`MalformedElasticsearchUrl::Prefix`].
    pub fn with_prefix(&self, prefix: &str) -> Result<Self, MalformedElasticsearchUrl> {
        check_prefix(prefix)?;
        Ok(Self { prefix: prefix.to_owned(), ..self.clone() })
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    pub(super) fn credentials(&self) -> Option<&(String, String)> {
        self.credentials.as_ref()
    }

    pub(super) fn replicas(&self) -> Option<u16> {
        self.replicas
    }
}

fn check_prefix(prefix: &str) -> Result<(), MalformedElasticsearchUrl> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = (1..=MAX_PREFIX).contains(&prefix.len())
        && prefix.starts_with(plain)
        && prefix.chars().all(|c| plain(c) || c == '-' || c == '_');
    if fits { Ok(()) } else { Err(MalformedElasticsearchUrl::Prefix) }
}

impl FromStr for ElasticsearchUrl {
    type Err = MalformedElasticsearchUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = |reason: &str| MalformedElasticsearchUrl::Form(reason.to_owned());
        let url = Url::parse(text).map_err(|e| form(&e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(form("the scheme is neither http nor https"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(form("no host"));
        }
        if url.fragment().is_some() {
            return Err(form("a fragment means nothing here"));
        }
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (_, None) | ("", Some(_)) => return Err(form("a user needs a password, and a password a user")),
            (user, Some(password)) => {
                let plain = |text| percent_decoded(text).ok_or_else(|| form("bad percent encoding"));
                Some((plain(user)?, plain(password)?))
            }
        };
        let prefix = match url.path().trim_matches('/') {
            "" => DEFAULT_PREFIX,
            prefix => prefix,
        };
        check_prefix(prefix)?;
        let mut replicas = None;
        for (name, value) in url.query_pairs() {
            match name.as_ref() {
                "replicas" => {
                    let number = value.parse().ok().filter(|n| *n <= 10);
                    replicas = Some(number.ok_or(MalformedElasticsearchUrl::Replicas)?);
                }
                _ => return Err(MalformedElasticsearchUrl::Parameter(name.into_owned())),
            }
        }
        let prefix = prefix.to_owned();
        let mut base = url;
        base.set_path("/");
        base.set_query(None);
        // Only URLs without a host refuse these.
        if base.set_username("").is_err() || base.set_password(None).is_err() {
            return Err(form("no host"));
        }
        Ok(Self { base, credentials, prefix, replicas })
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Without the password.
impl fmt::Display for ElasticsearchUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.base.as_str().trim_end_matches('/');
        match (&self.credentials, rest.split_once("://")) {
            (Some((user, _)), Some((scheme, host))) => write!(f, "{scheme}://{user}@{host}/{}", self.prefix)?,
            _ => write!(f, "{rest}/{}", self.prefix)?,
        }
        self.replicas.map_or(Ok(()), |replicas| write!(f, "?replicas={replicas}"))
    }
}

/// Without the password.
impl fmt::Debug for ElasticsearchUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ElasticsearchUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown_without_password() {
        for (text, shown) in [
            ("http://127.0.0.1:9200", "http://127.0.0.1:9200/tillstream"),
            ("https://es.example:9243/shop-a/", "https://es.example:9243/shop-a"),
            ("http://me:s%40cret@es:9200/t?replicas=2", "http://me@es:9200/t?replicas=2"),
        ] {
            let url: ElasticsearchUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("cret"));
        }
        let url: ElasticsearchUrl = "http://me:s%40cret@es:9200".parse().unwrap();
        assert_eq!(url.credentials(), Some(&("me".to_owned(), "s@cret".to_owned())));
    }

    #[test]
    fn what_is_no_such_url_is_refused_without_telling_secrets() {
        for text in [
            "",
            "es:9200",
            "ftp://es:9200",
            "http://me@es",
            "http://me:secret@es/Upper",
            "http://me:secret@es/a/b",
            "http://me:secret@es/-a",
            "http://me:secret@es?shards=1",
            "http://me:secret@es?replicas=x",
            "http://me:secret@es#x",
        ] {
            let error = text.parse::<ElasticsearchUrl>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
