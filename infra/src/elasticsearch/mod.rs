//! Search on Elasticsearch 8: what queries look for, and what analysts and auditors look into with tools of their own.
//!
//! Every [index](projections::engine::index) stands behind an alias, `<prefix>-products`; the alias shows documents only. The mappings
//! are read from the declarations; the files beside this one show them. Each physical index, a *generation*, also holds the checkpoints of its documents, so that both are lost
//! together and built anew from the log, and carries in its mapping's `_meta` what it must agree with. It is written through an
//! alias of its own, `<generation>-writes`: no write can make an index by accident, and none reaches a generation that was
//! replaced. An index that only grows has parts `<generation>-000002` and so on: a new one takes over when the newest
//! is large.
//!
//! A document's external version is the version of its source stream, so an older event never overwrites a newer one. The
//! checkpoint is written after all documents of a batch, conditionally; it is applied then, and visible after a refresh. Only
//! core features are used: no scripts, no plugins.

mod bulk;
mod checkpoints;
mod client;
mod events_copy;
mod follow;
mod generations;
mod health;
mod hits;
mod mapping;
mod parts;
mod query;
pub mod rebuild;
mod scan;
mod search;
mod store;
mod url;
mod views;

pub use self::events_copy::ElasticsearchEvents;
pub use self::follow::ElasticsearchCheckpoints;
pub use self::health::{Health, health, is_made, made_from_a_log, refuse_other};
pub use self::search::ElasticsearchSearch;
pub use self::store::ElasticsearchStore;
pub use self::url::ElasticsearchUrl;
