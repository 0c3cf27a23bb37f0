//! Where a PostgreSQL database is.

use std::fmt;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use crate::config::{MalformedUrl, UrlForm, UrlParts};

const FORM: UrlForm = UrlForm {
    example: "postgres://user@host:port/database?schema=name",
    schemes: &["postgres", "postgresql"],
    port: None,
    parameters: &["schema", "connections"],
};
/// The schema when the URL names none.
const DEFAULT_SCHEMA: &str = "tillstream";
/// How many connections queries may take when the URL doesn't say.
const DEFAULT_CONNECTIONS: u32 = 16;
/// PostgreSQL keeps 63 bytes of a name, and names are made from the schema's.
const LONGEST_SCHEMA: usize = 32;

/// `postgres://user[:password]@host[:port]/database[?schema=tillstream&connections=16]`. Parts are percent-encoded as in any URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    parts: UrlParts,
    connections: u32,
}

impl PostgresUrl {
    /// The schema that holds what readers see; further ones have names that start with it.
    #[must_use]
    pub fn schema(&self) -> &str {
        self.parts.get("schema").unwrap_or(DEFAULT_SCHEMA)
    }

    /// The most connections that one process takes for queries.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.connections
    }

    /// The same database with another schema.
    ///
    /// # Errors
    /// [`MalformedUrl`] for a name that is no plain lower-case identifier.
    pub fn with_schema(&self, schema: &str) -> Result<Self, MalformedUrl> {
        check_schema(schema).map_err(|reason| FORM.malformed(reason))?;
        let mut other = self.clone();
        other.parts.set("schema", schema.to_owned());
        Ok(other)
    }

    /// The name that connections show in `pg_stat_activity`.
    pub(super) fn application_name(&self) -> String {
        format!("tillstream {}", self.schema())
    }

    /// What the driver needs to connect. Its unqualified names mean this schema.
    pub(super) fn options(&self) -> Result<PgConnectOptions, MalformedUrl> {
        let options = PgConnectOptions::from_str(&self.parts.with_password());
        let options = options.map_err(|e| FORM.malformed(e.to_string()))?;
        Ok(options.application_name(&self.application_name()).options([("search_path", self.schema())]))
    }
}

fn check_schema(schema: &str) -> Result<(), String> {
    let plain = schema.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let starts = schema.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if plain && starts && schema.len() <= LONGEST_SCHEMA && !schema.starts_with("pg_") {
        return Ok(());
    }
    Err(format!("the schema `{schema}` is not a name of at most {LONGEST_SCHEMA} letters a-z, digits and _"))
}

impl FromStr for PostgresUrl {
    type Err = MalformedUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = FORM.split(text).and_then(read).map_err(|reason| FORM.malformed(reason))?;
        url.options()?;
        Ok(url)
    }
}

fn read(mut parts: UrlParts) -> Result<PostgresUrl, String> {
    parts.scheme = "postgres";
    if parts.login.as_ref().is_none_or(|(user, _)| user.is_empty()) {
        return Err("it names no user".to_owned());
    }
    parts.only_host()?;
    if parts.path.is_empty() || parts.path.contains('/') {
        return Err("it names no database".to_owned());
    }
    let schema = parts.get("schema").unwrap_or(DEFAULT_SCHEMA).to_owned();
    check_schema(&schema)?;
    // Also where it is the default: errors name it.
    parts.set("schema", schema);
    let connections = match parts.get("connections").map(str::parse) {
        None => DEFAULT_CONNECTIONS,
        Some(Ok(count @ 1..=1_000)) => count,
        Some(_) => return Err("connections is not a number from 1 to 1000".to_owned()),
    };
    Ok(PostgresUrl { parts, connections })
}

/// Without the password.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let url: PostgresUrl = "postgresql://shop:s%40cret@db.example:5433/shop?schema=s1".parse().unwrap();
        assert_eq!(url.to_string(), "postgres://shop@db.example:5433/shop?schema=s1");
        assert_eq!((url.schema(), url.connections()), ("s1", DEFAULT_CONNECTIONS));
        let options = url.options().unwrap();
        assert_eq!((options.get_host(), options.get_port()), ("db.example", 5433));
        assert_eq!((options.get_username(), options.get_database()), ("shop", Some("shop")));
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for text in [
            "postgres://u@h/d?schema=tillstream",
            "postgres://u@[::1]:5432/d?schema=a_1",
            "postgres://u@h:1/d?schema=t&connections=3",
        ] {
            assert_eq!(text.parse::<PostgresUrl>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_wrong_url_is_refused_with_the_reason() {
        for (text, reason) in [
            ("mysql://u@h/d", "scheme is not postgres or postgresql"),
            ("postgres://h/d", "no user"),
            ("postgres://:pw@h/d", "no user"),
            ("postgres://u@/d", "``"),
            ("postgres://u@a,b/d", "more than one host"),
            ("postgres://u@h", "no database"),
            ("postgres://u@h/", "no database"),
            ("postgres://u@h:port/d", "port"),
            ("postgres://u@h/d?schema=Robert", "letters"),
            ("postgres://u@h/d?schema=pg_x", "letters"),
            ("postgres://u@h/d?schema=", "letters"),
            ("postgres://u@h/d?sslmode=off", "no parameter `sslmode`"),
            ("postgres://u@h/d?connections=0", "connections"),
        ] {
            let error = text.parse::<PostgresUrl>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
