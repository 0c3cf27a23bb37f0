//! The configuration: defaults, then a file, then environment variables, then flags; one small struct per concern.
//!
//! Every key is declared once, in [`sections`]; the struct field, its default, its environment variable and the
//! reference that `tillstream config` prints all come from that declaration.

mod load;
mod reference;
pub mod sections;
mod values;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use load::{ConfigError, Layers, Origin};
pub use reference::{Key, effective, reference};
pub use values::{
    CarrierUrl, FeedUrl, LogFormat, LogUrl, PaymentsUrl, ReadUrl, Role, SearchUrl, Span, UnsupportedBackend,
};

/// The file that is read when it exists and none is named.
pub const DEFAULT_FILE: &str = "tillstream.toml";

/// Everything that can be configured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where data is kept.
    pub data: sections::Data,
    /// The HTTP listener.
    pub http: sections::Http,
    /// Tokens and passwords.
    pub auth: sections::Auth,
    /// The event log.
    pub log: sections::Log,
    /// The fan-out of decided events.
    pub feed: sections::Feed,
    /// The read models.
    pub read: sections::Read,
    /// The product search.
    pub search: sections::Search,
    /// The order fulfilment saga.
    pub fulfilment: sections::Fulfilment,
    /// The payment provider.
    pub payments: sections::Payments,
    /// The carrier.
    pub carrier: sections::Carrier,
    /// The roles of this process.
    pub roles: sections::Roles,
    /// The program's own logs.
    pub logging: sections::Logging,
}

impl Config {
    /// Every directory that this configuration keeps data in; a process holds all of them. Some may be the same.
    #[must_use]
    pub fn directories(&self) -> [&Path; 3] {
        let dir = self.data.dir.as_path();
        [dir, self.log.url.directory(dir), self.read.url.directory(dir)]
    }

    /// The roles that this process runs.
    #[must_use]
    pub fn running(&self) -> Vec<Role> {
        Role::ALL.iter().copied().filter(|role| self.runs(*role)).collect()
    }

    /// Whether this process runs a role.
    #[must_use]
    pub fn runs(&self, role: Role) -> bool {
        self.roles.run.is_empty() || self.roles.run.contains(&role)
    }

    /// Whether each configured backend can be used by this process.
    ///
    /// # Errors
    /// When separate roles are asked for on an embedded backend: it has one process.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.running().len() == Role::ALL.len() {
            return Ok(());
        }
        let asked: Vec<String> = self.roles.run.iter().map(ToString::to_string).collect();
        Err(ConfigError::Conflict(format!(
            "the roles {} can't run on their own: log.url = \"{}\" and feed.url = \"{}\" are embedded in one process, so \
             run every role (leave --role out)",
            asked.join(", "),
            self.log.url,
            self.feed.url
        )))
    }
}

#[cfg(test)]
mod tests;
