//! Loading: the layers, and errors that name the key and where its value came from.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::providers::{Format as _, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::{Config, DEFAULT_FILE, Key, reference};

/// How the variables begin that are meant for Tillstream.
const PREFIX: &str = "TILLSTREAM_";
/// Variables of that name that are no keys: the file's name, which the command line reads, and what the repository's scripts and
/// tests are told by.
const OTHERS: [&str; 8] = [
    "TILLSTREAM_CONFIG",
    "TILLSTREAM_ENGINES_DIR",
    "TILLSTREAM_ENGINES_SET",
    "TILLSTREAM_BIN",
    "TILLSTREAM_TESTS",
    "TILLSTREAM_TESTS_BACKENDS",
    "TILLSTREAM_FAULT_ROUNDS",
    "TILLSTREAM_FAULT_SEED",
];

/// Why a configuration can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A key that doesn't exist.
    #[error("{origin} sets `{key}`, which is no configuration key; `tillstream config` lists them")]
    UnknownKey {
        /// As written.
        key: String,
        /// Which layer.
        origin: String,
    },
    /// A value that doesn't fit its key.
    #[error("{origin} sets `{key}` to something it can't be: {reason}")]
    BadValue {
        /// Dotted.
        key: String,
        /// Which layer.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// The file can't be read.
    #[error("the configuration file {path} can't be read: {reason}")]
    File {
        /// As named.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A name or a value that is no UTF-8: read some other way, it would mean something else.
    #[error("{origin} sets `{key}` to `{shown}`, which is not UTF-8; a setting must be text")]
    NotText {
        /// The key or the variable.
        key: String,
        /// As far as it can be shown.
        shown: String,
        /// Which layer.
        origin: String,
    },
    /// Keys that don't fit together.
    #[error("{0}")]
    Conflict(String),
}

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An environment variable.
    Environment,
    /// The command line.
    Flag,
}

/// The layers above the defaults, lowest first: file, environment, flags.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// The file; [`DEFAULT_FILE`] when it exists and none is named.
    pub file: Option<PathBuf>,
    /// Environment variables; those not called `TILLSTREAM_…` are passed over.
    pub env: Vec<(String, String)>,
    /// Flags, by dotted key.
    pub flags: Vec<(String, String)>,
    /// Defaults of a subcommand that differ from the general ones, by dotted key.
    pub defaults: Vec<(&'static str, String)>,
}

impl Layers {
    /// The layers of this process: its environment, and what its command line said.
    ///
    /// # Errors
    /// [`ConfigError::NotText`] for a variable that is meant for Tillstream and isn't text.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Result<Self, ConfigError> {
        let env = texts(std::env::vars_os())?;
        Ok(Self { file, env, flags, defaults: Vec::new() })
    }

    /// Merges the layers and checks the result.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(&self) -> Result<Config, ConfigError> {
        let keys = reference();
        let mut figment = Figment::from(Serialized::defaults(Config::default()));
        let defaults: Vec<_> =
            self.defaults.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        figment = figment.merge(Layer::new(Origin::Flag, &keys, &defaults)?);
        if let Some(path) = self.file() {
            figment = figment.merge(file(&path, &keys)?);
        }
        figment = figment.merge(Layer::new(Origin::Environment, &keys, &named_by_env(&self.env, &keys)?)?);
        figment = figment.merge(Layer::new(Origin::Flag, &keys, &self.flags)?);
        let config: Config = figment.extract().map_err(|error| bad_value(&error))?;
        if !(1..=1024).contains(&config.log.shards) {
            return Err(ConfigError::Conflict("log.shards must be between 1 and 1024".to_owned()));
        }
        config.check_directories()?;
        Ok(config)
    }

    fn file(&self) -> Option<PathBuf> {
        self.file.clone().or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()))
    }
}

/// Those variables that begin with [`PREFIX`].
fn texts(env: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Vec<(String, String)>, ConfigError> {
    let ours = env.into_iter().filter(|(name, _)| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
    let text = |(name, value): (OsString, OsString)| match (name.into_string(), value.into_string()) {
        (Ok(name), Ok(value)) => Ok((name, value)),
        (name, value) => {
            let shown = |text: Result<String, OsString>| {
                text.unwrap_or_else(|bytes| bytes.to_string_lossy().into_owned())
            };
            let origin = origin_name(Origin::Environment).to_owned();
            Err(ConfigError::NotText { key: shown(name), shown: shown(value), origin })
        }
    };
    ours.map(text).collect()
}

/// The variables that are Tillstream's, by key.
fn named_by_env(env: &[(String, String)], keys: &[Key]) -> Result<Vec<(String, String)>, ConfigError> {
    let mut out = Vec::new();
    for (name, value) in env.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        if let Some(key) = keys.iter().find(|key| key.env() == *name) {
            out.push((key.name.to_owned(), value.clone()));
        } else if !OTHERS.contains(&name.as_str()) && !made_by_kubernetes(name, value) {
            let origin = "the environment".to_owned();
            return Err(ConfigError::UnknownKey { key: name.clone(), origin });
        }
    }
    Ok(out)
}

/// Kubernetes describes a service called `tillstream…` to every pod beside it: `…_SERVICE_HOST`, `…_SERVICE_PORT[_<name>]`, and
/// `…_PORT[_<number>_<protocol>[_PROTO|_PORT|_ADDR]]`. What looks alike but says something else is a mistake to be told.
fn made_by_kubernetes(name: &str, value: &str) -> bool {
    let number = |text: &str| text.parse::<u16>().is_ok();
    let address = |text: &str| {
        let rest = ["tcp://", "udp://", "sctp://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        rest.and_then(|rest| rest.rsplit_once(':'))
            .is_some_and(|(host, port)| !host.is_empty() && number(port))
    };
    if name.ends_with("_SERVICE_HOST") {
        return !value.is_empty();
    }
    if name.contains("_SERVICE_PORT") {
        return number(value);
    }
    if name.ends_with("_PORT") && address(value) {
        return true;
    }
    let Some((_, port)) = name.rsplit_once("_PORT_").filter(|(_, rest)| !rest.is_empty()).or_else(|| {
        // …_PORT_8080_TCP_PORT
        name.strip_suffix("_PORT").and_then(|name| name.rsplit_once("_PORT_"))
    }) else {
        return false;
    };
    let mut words = port.split('_');
    words.next().is_some_and(number)
        && words.next().is_some_and(|word| ["TCP", "UDP", "SCTP"].contains(&word))
}

fn file(path: &Path, keys: &[Key]) -> Result<Figment, ConfigError> {
    let shown = path.display().to_string();
    let error = |reason: String| ConfigError::File { path: shown.clone(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| error(e.to_string()))?;
    let provider = Toml::file_exact(path);
    let figment = Figment::from(provider);
    // Parsed here so that a syntax error is not met later, as a value's.
    let parsed: Dict = Toml::from_str(&text).map_err(|e| error(e.to_string()))?;
    let mut names = Vec::new();
    leaves("", &parsed, &mut names);
    match names.into_iter().find(|name| !keys.iter().any(|key| key.name == name)) {
        Some(key) => Err(ConfigError::UnknownKey { key, origin: format!("the file {shown}") }),
        None => Ok(figment),
    }
}

fn leaves(prefix: &str, dict: &Dict, out: &mut Vec<String>) {
    for (name, value) in dict {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Dict(_, inner) if prefix.is_empty() => leaves(&path, inner, out),
            _ => out.push(path),
        }
    }
}

fn bad_value(error: &figment::Error) -> ConfigError {
    let metadata = error.metadata.as_ref();
    let origin = metadata.map_or_else(
        || "the configuration".to_owned(),
        |m| match m.source.as_ref().and_then(|s| s.file_path()) {
            Some(path) => format!("the file {}", path.display()),
            None => m.name.to_string(),
        },
    );
    ConfigError::BadValue { key: error.path.join("."), origin, reason: error.kind.to_string() }
}

/// A layer of texts by key; texts are read as the key's kind wants them.
struct Layer {
    origin: Origin,
    dict: Dict,
}

impl Layer {
    fn new(origin: Origin, keys: &[Key], values: &[(String, String)]) -> Result<Self, ConfigError> {
        let mut dict = Dict::new();
        for (name, text) in values {
            let Some(key) = keys.iter().find(|key| key.name == name) else {
                let origin = origin_name(origin).to_owned();
                return Err(ConfigError::UnknownKey { key: name.clone(), origin });
            };
            let (section, field) = name.split_once('.').unwrap_or((name, ""));
            let entry = dict.entry(section.to_owned()).or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, fields) = entry {
                fields.insert(field.to_owned(), typed(key, text));
            }
        }
        Ok(Self { origin, dict })
    }
}

fn typed(key: &Key, text: &str) -> Value {
    match key.kind {
        "number" => text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from),
        "switch" => text.parse::<bool>().map_or_else(|_| Value::from(text), Value::from),
        "list" => text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect::<Vec<_>>().into(),
        _ => Value::from(text),
    }
}

fn origin_name(origin: Origin) -> &'static str {
    match origin {
        Origin::Environment => "the environment",
        Origin::Flag => "the command line",
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(origin_name(self.origin))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}
