//! The URL of an Elasticsearch cluster and of Tillstream's indices in it.

use std::fmt;
use std::str::FromStr;

use ::elasticsearch::http::Url;

use crate::config::{MalformedUrl, UrlForm, UrlParts};

const FORM: UrlForm = UrlForm {
    example: "http://host:9200/prefix",
    schemes: &["http", "https"],
    port: None,
    parameters: &["replicas"],
};
/// The prefix when the URL names none.
const DEFAULT_PREFIX: &str = "tillstream";
/// Index names have at most 255 bytes; the prefix is a part of them.
const MAX_PREFIX: usize = 100;

/// `http(s)://[user:password@]host[:port][/prefix][?replicas=n]`. The prefix begins the names of all indices. `replicas` is the
/// number of copies of each shard of a new index; without it there is one as soon as there is a second node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElasticsearchUrl {
    parts: UrlParts,
    /// Without user, password, path and query.
    base: Url,
    replicas: Option<u16>,
}

impl ElasticsearchUrl {
    /// What the names of the indices begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.parts.path
    }

    /// The same cluster with other indices.
    ///
    /// # Errors
    /// [`MalformedUrl`] for what no index name may begin with.
    pub fn with_prefix(&self, prefix: &str) -> Result<Self, MalformedUrl> {
        check_prefix(prefix).map_err(|reason| FORM.malformed(reason))?;
        let mut other = self.clone();
        prefix.clone_into(&mut other.parts.path);
        Ok(other)
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    pub(super) fn credentials(&self) -> Option<(&str, &str)> {
        self.parts.whole_login()
    }

    pub(super) fn replicas(&self) -> Option<u16> {
        self.replicas
    }
}

fn check_prefix(prefix: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = (1..=MAX_PREFIX).contains(&prefix.len())
        && prefix.starts_with(plain)
        && prefix.chars().all(|c| plain(c) || c == '-' || c == '_');
    let reason = || {
        format!(
            "the index prefix must be 1 to {MAX_PREFIX} lower-case letters, digits, `-` or `_`, the first a letter or digit"
        )
    };
    fits.then_some(()).ok_or_else(reason)
}

impl FromStr for ElasticsearchUrl {
    type Err = MalformedUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        FORM.split(text).and_then(read).map_err(|reason| FORM.malformed(reason))
    }
}

fn read(mut parts: UrlParts) -> Result<ElasticsearchUrl, String> {
    parts.check_login()?;
    let base = format!("{}://{}", parts.scheme, parts.only_host()?);
    let base = Url::parse(&base).map_err(|e| e.to_string())?;
    parts.path = match parts.path.trim_matches('/') {
        "" => DEFAULT_PREFIX.to_owned(),
        prefix => prefix.to_owned(),
    };
    check_prefix(&parts.path)?;
    let replicas = parts.get("replicas").map(|number| {
        let number = number.parse().ok().filter(|n| *n <= 10);
        number.ok_or("`replicas` must be a number from 0 to 10")
    });
    let replicas = replicas.transpose()?;
    Ok(ElasticsearchUrl { parts, base, replicas })
}

/// Without the password.
impl fmt::Display for ElasticsearchUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.fmt(f)
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
        assert_eq!(url.credentials(), Some(("me", "s@cret")));
    }

    #[test]
    fn what_is_no_such_url_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "no scheme"),
            ("es:9200", "no scheme"),
            ("ftp://es:9200", "scheme is not http or https"),
            ("http://", "``"),
            ("http://a,b", "more than one host"),
            ("http://me@es", "a user needs a password"),
            ("http://es/Upper", "index prefix"),
            ("http://es/a/b", "index prefix"),
            ("http://es/-a", "index prefix"),
            ("http://es?shards=1", "no parameter `shards`"),
            ("http://es?replicas=x", "a number from 0 to 10"),
            ("http://es#x", "percent-encoded"),
        ] {
            let error = text.parse::<ElasticsearchUrl>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
