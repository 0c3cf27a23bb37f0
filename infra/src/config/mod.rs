//! The configuration: defaults, then a file, then environment variables, then flags; one small struct per concern.
//!
//! Every key is declared once, in [`sections`]; the struct field, its default, its environment variable and the
//! reference that `tillstream config` prints all come from that declaration.

mod backend_urls;
mod directories;
mod family;
mod load;
mod reference;
pub mod sections;
mod url_parts;
mod values;

use serde::{Deserialize, Serialize};

pub use backend_urls::{
    CarrierUrl, Directory, FeedUrl, KeysUrl, LogUrl, PaymentsUrl, ReadUrl, SearchUrl, UnsupportedBackend,
};
pub use family::{Distributed, Embedded, Family};
pub use load::{ConfigError, Layers, Origin};
pub use reference::{Key, effective, reference};
pub use url_parts::MalformedUrl;
pub(crate) use url_parts::{UrlForm, UrlParts};
pub use values::{Listen, LogFormat, Role, Span};

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
    /// The keys of data subjects.
    pub keys: sections::Keys,
    /// The leases of owners.
    pub lease: sections::Lease,
    /// The comparison of all copies of the events.
    pub conservation: sections::Conservation,
    /// The order fulfilment saga.
    pub fulfilment: sections::Fulfilment,
    /// The payment provider.
    pub payments: sections::Payments,
    /// The carrier.
    pub carrier: sections::Carrier,
    /// The simulators, where they are named.
    pub simulator: sections::Simulator,
    /// The roles of this process.
    pub roles: sections::Roles,
    /// The program's own logs.
    pub logging: sections::Logging,
}

#[cfg(test)]
mod tests;
