//! Where a PostgreSQL database is.

use std::fmt;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

/// The schema when the URL names none.
const DEFAULT_SCHEMA: &str = "tillstream";
/// How many connections queries may take when the URL doesn't say.
const DEFAULT_CONNECTIONS: u32 = 16;
/// PostgreSQL keeps 63 bytes of a name, and names are made from the schema's.
const LONGEST_SCHEMA: usize = 32;

/// `postgres://user[:password]@host[:port]/database[?schema=tillstream&connections=16]`. Parts are percent-encoded as in any URL.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// Without the parameters; it may hold a password.
    base: String,
    schema: String,
    connections: u32,
}

/// Why a text is no URL of a PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a url of the form postgres://user@host:port/database?schema=name: {0}")]
pub struct MalformedPostgresUrl(String);

impl PostgresUrl {
    /// The schema that holds what readers see; further ones have names that start with it.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The most connections that one process takes for queries.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.connections
    }

    /// The same database with another schema.
    ///
    /// # Errors
    /// [`MalformedPostgresUrl`] for a name that is no plain lower-case identifier.
    pub fn with_schema(&self, schema: &str) -> Result<Self, MalformedPostgresUrl> {
        check_schema(schema)?;
        Ok(Self { schema: schema.to_owned(), ..self.clone() })
    }

    /// The name that connections show in `pg_stat_activity`.
    pub(super) fn application_name(&self) -> String {
        format!("tillstream {}", self.schema)
    }

    /// What the driver needs to connect. Its unqualified names mean this schema.
    pub(super) fn options(&self) -> Result<PgConnectOptions, MalformedPostgresUrl> {
        let options =
            PgConnectOptions::from_str(&self.base).map_err(|e| MalformedPostgresUrl(e.to_string()))?;
        Ok(options
            .application_name(&self.application_name())
            .options([("search_path", self.schema.as_str())]))
    }
}

fn check_schema(schema: &str) -> Result<(), MalformedPostgresUrl> {
    let plain = schema.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let starts = schema.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if plain && starts && schema.len() <= LONGEST_SCHEMA && !schema.starts_with("pg_") {
        return Ok(());
    }
    Err(MalformedPostgresUrl(format!(
        "the schema `{schema}` is not a name of at most {LONGEST_SCHEMA} letters a-z, digits and _"
    )))
}

impl FromStr for PostgresUrl {
    type Err = MalformedPostgresUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |reason: &str| MalformedPostgresUrl(reason.to_owned());
        let (base, parameters) = text.split_once('?').unwrap_or((text, ""));
        let rest = base
            .strip_prefix("postgres://")
            .or_else(|| base.strip_prefix("postgresql://"))
            .ok_or_else(|| wrong("it doesn't start with postgres://"))?;
        let (authority, database) = rest.split_once('/').ok_or_else(|| wrong("it names no database"))?;
        let (user, host) = authority.rsplit_once('@').ok_or_else(|| wrong("it names no user"))?;
        if user.is_empty() || user.starts_with(':') {
            return Err(wrong("it names no user"));
        }
        if host.is_empty() || host.starts_with(':') {
            return Err(wrong("it names no host"));
        }
        if database.is_empty() || database.contains('/') || text.contains('#') {
            return Err(wrong("it names no database"));
        }
        let mut url = Self {
            base: format!("postgres://{rest}"),
            schema: DEFAULT_SCHEMA.to_owned(),
            connections: DEFAULT_CONNECTIONS,
        };
        for parameter in parameters.split('&').filter(|p| !p.is_empty()) {
            match parameter.split_once('=') {
                Some(("schema", schema)) => {
                    check_schema(schema)?;
                    url.schema = schema.to_owned();
                }
                Some(("connections", count)) => {
                    url.connections = match count.parse() {
                        Ok(count @ 1..=1_000) => count,
                        _ => return Err(wrong("connections is not a number from 1 to 1000")),
                    };
                }
                _ => {
                    let name = parameter.split('=').next().unwrap_or_default();
                    return Err(MalformedPostgresUrl(format!(
                        "there is no parameter {name}; there are schema, connections"
                    )));
                }
            }
        }
        url.options()?;
        Ok(url)
    }
}

impl fmt::Display for PostgresUrl {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secret, place) = self.base.rsplit_once('@').unwrap_or(("", &self.base));
        let user = secret.trim_start_matches("postgres://").split(':').next().unwrap_or_default();
        write!(f, "postgres://{user}@{place}?schema={}", self.schema)?;
        if self.connections != DEFAULT_CONNECTIONS {
            write!(f, "&connections={}", self.connections)?;
        }
        Ok(())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let url: PostgresUrl = "postgresql://shop:s%40cret@db.example:5433/shop?schema=s1".parse().unwrap();
        assert_eq!(url.to_string(), "postgres://shop@db.example:5433/shop?schema=s1");
        assert_eq!(format!("{url:?}"), "PostgresUrl(postgres://shop@db.example:5433/shop?schema=s1)");
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
            ("mysql://u@h/d", "doesn't start with"),
            ("postgres://h/d", "no user"),
            ("postgres://:pw@h/d", "no user"),
            ("postgres://u@/d", "no host"),
            ("postgres://u@h", "no database"),
            ("postgres://u@h/", "no database"),
            ("postgres://u@h:port/d", "port"),
            ("postgres://u@h/d?schema=Robert", "letters"),
            ("postgres://u@h/d?schema=pg_x", "letters"),
            ("postgres://u@h/d?schema=", "letters"),
            ("postgres://u@h/d?sslmode=off", "no parameter sslmode"),
            ("postgres://u@h/d?connections=0", "connections"),
        ] {
            let error = text.parse::<PostgresUrl>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
