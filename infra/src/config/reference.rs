//! The reference of every key, and the effective configuration with secrets masked.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::{Config, sections};

/// One key of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Dotted, as in the file: `http.listen`.
    pub name: &'static str,
    /// What its value looks like: `text`, `number`, `duration`, …
    pub kind: &'static str,
    /// The default, as text.
    pub default: String,
    /// What it does.
    pub meaning: String,
}

impl Key {
    pub(super) fn new(
        name: &'static str,
        kind: &'static str,
        default: &impl Serialize,
        meaning: &str,
    ) -> Self {
        let default = serde_json::to_value(default).map_or_else(|_| String::new(), |value| text_of(&value));
        let meaning = meaning.split_whitespace().collect::<Vec<_>>().join(" ");
        Self { name, kind, default, meaning }
    }

    /// The environment variable: `TILLSTREAM_HTTP_LISTEN`.
    #[must_use]
    pub fn env(&self) -> String {
        format!("TILLSTREAM_{}", self.name.replace('.', "_").to_uppercase())
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Every key, section by section.
#[must_use]
pub fn reference() -> Vec<Key> {
    sections::keys()
}

/// The configuration as a TOML file would state it, with passwords in URLs masked.
#[must_use]
pub fn effective(config: &Config) -> String {
    let mut out = String::new();
    if let Ok(Value::Object(sections)) = serde_json::to_value(config) {
        for (section, keys) in &sections {
            let _ = writeln!(out, "[{section}]");
            for (key, value) in keys.as_object().into_iter().flatten() {
                let value = match value {
                    Value::String(text) => Value::String(masked(text)),
                    other => other.clone(),
                };
                let _ = writeln!(out, "{key} = {value}");
            }
            out.push('\n');
        }
    }
    out
}

/// Hides the user information of a URL.
fn masked(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://***@{host}"),
            None => text.to_owned(),
        },
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_masked() {
        assert_eq!(masked("postgres://shop:secret@db/shop"), "postgres://***@db/shop");
        assert_eq!(masked("sqlite:data"), "sqlite:data");
    }

    #[test]
    fn every_key_has_its_own_variable_and_a_meaning() {
        let keys = reference();
        let mut names: Vec<String> = keys.iter().map(Key::env).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), keys.len());
        assert!(keys.iter().all(|key| !key.meaning.is_empty()));
    }

    #[test]
    fn the_reference_names_exactly_the_keys_of_the_config() {
        let value = serde_json::to_value(Config::default()).unwrap();
        let mut names = Vec::new();
        for (section, keys) in value.as_object().unwrap() {
            names.extend(keys.as_object().unwrap().keys().map(|key| format!("{section}.{key}")));
        }
        names.sort();
        let mut stated: Vec<String> = reference().iter().map(|key| key.name.to_owned()).collect();
        stated.sort();
        assert_eq!(stated, names);
    }
}
