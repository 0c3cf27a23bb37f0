//! The backends of a process: one family of them, opened part by part as its roles ask.
//!
//! Everything above the ports is the same code for both families; what differs is told here: whether other processes can own
//! shards ([`Backends::cluster`]), and whether other processes' projections count ([`Backends::follow`]).

pub(crate) mod beside;
mod disk_probe;
pub(crate) mod distributed;
mod embedded;
mod log_heads;
mod lost_log;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use command_api::web::tokens::SigningKeys;
use domain::ports::feed::{FanOut, Feed};
use domain::ports::keys::SubjectKeys;
use domain::ports::leases::Leases;
use domain::ports::log::EventLog;
use domain::position::Position;
use projections::engine::follower::Follower;
use projections::engine::model::Projection;
use projections::engine::read_models::ReadModels;
use projections::engine::search::TextSearch;
use projections::engine::store::RowStore;
use projections::engine::watermark::Watermark;
use query_api::CursorKey;
use sagas::standing::SagaWork;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub use distributed::DistributedBackends;
pub use embedded::EmbeddedBackends;

use crate::application::Application;
use crate::config::{Config, Family};
use crate::event_copy::EventCopy;
use crate::rebuild::renewal::Renewal;

/// Projections that share a store, and so a runner.
#[derive(Clone)]
pub struct Group {
    /// Names the runner to the feed.
    pub name: &'static str,
    /// Where rows and checkpoints are.
    pub store: Arc<dyn RowStore>,
    /// What is kept there.
    pub projections: Vec<Arc<dyn Projection>>,
    /// See [`RunnerConfig::apply_every`](projections::engine::runner::RunnerConfig::apply_every).
    pub apply_every: Duration,
}

/// What processes that share a log share besides.
#[derive(Clone)]
pub struct Cluster {
    /// Who owns which shard.
    pub leases: Arc<dyn Leases>,
    /// What instances prove to each other that they belong together with.
    pub secret: [u8; 32],
}

/// What the settings of the log's servers promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Promises {
    /// Name and version.
    pub server: String,
    /// Settings that bear on what an acknowledgement means.
    pub facts: BTreeMap<String, String>,
    /// What a production log should not stand on.
    pub warnings: Vec<String>,
}

/// One family of backends. What a role doesn't ask for isn't opened.
#[async_trait]
pub trait Backends: Send + Sync + 'static {
    /// The event log.
    fn log(&self) -> Arc<dyn EventLog>;

    /// The last position of every shard as far as this process knows; for lag.
    fn heads(&self) -> Vec<Position>;

    /// Why the log can't be read or written now.
    async fn fault(&self) -> Option<String>;

    /// About how many bytes of decided frames wait in memory for those who follow this process.
    fn feed_bytes(&self) -> usize;

    /// What the log's servers promise, where there are any.
    fn promises(&self) -> Option<Promises> {
        None
    }

    /// The other processes that can own shards; `None` where there can be none.
    ///
    /// # Errors
    /// When a backend can't be opened, here and below: the reason names it.
    async fn cluster(&self) -> anyhow::Result<Option<Cluster>> {
        Ok(None)
    }

    /// Where owners hand decided frames to.
    async fn fan_out(&self) -> anyhow::Result<Arc<dyn FanOut>>;

    /// Where projections get their events from.
    async fn feed(&self) -> anyhow::Result<Arc<dyn Feed>>;

    /// The keys of data subjects.
    async fn keys(&self) -> anyhow::Result<Arc<dyn SubjectKeys>>;

    /// What access tokens are signed with.
    async fn signing_keys(&self) -> anyhow::Result<SigningKeys>;

    /// What cursors are sealed with.
    async fn cursor_key(&self) -> anyhow::Result<CursorKey>;

    /// The stores of the read side, each with its projections.
    async fn groups(&self) -> anyhow::Result<Vec<Group>>;

    /// What replaces rows that an older version of this program made.
    async fn renewal(&self) -> anyhow::Result<Arc<dyn Renewal>>;

    /// Follows the checkpoints of whichever processes run the projections; nothing where only this process can run them.
    async fn follow(&self, shutdown: &CancellationToken) -> anyhow::Result<Vec<Arc<Follower>>>;

    /// The questions, answered as far as the watermarks tell.
    async fn read_models(&self, marks: Vec<Watermark>) -> anyhow::Result<Arc<dyn ReadModels>>;

    /// The indices.
    async fn search(&self) -> anyhow::Result<Arc<dyn TextSearch>>;

    /// The sagas' open work.
    async fn saga_work(&self) -> anyhow::Result<Arc<dyn SagaWork>>;

    /// The copies of the log's events, to be compared with it.
    async fn copies(&self) -> anyhow::Result<Vec<Arc<dyn EventCopy>>>;

    /// Ends what runs behind: hands over what owners decided last. Owners and projections have ended before.
    async fn stop(&self);
}

/// Opens the family that the configuration names.
///
/// # Errors
/// When it can't be opened: the reason names the part.
pub async fn open(application: &Application, config: &Config) -> anyhow::Result<Arc<dyn Backends>> {
    let projections = application.projections.clone();
    match config.family()? {
        Family::Embedded(places) => Ok(Arc::new(EmbeddedBackends::open(application, config, places).await?)),
        Family::Distributed(urls) => Ok(Arc::new(DistributedBackends::open(projections, &urls).await?)),
    }
}

/// Opens what is there of the family that the configuration names, and makes nothing: for operators' commands, where a name that is
/// mistyped must not become an empty store.
///
/// # Errors
/// When it isn't there or can't be opened: the reason names the part.
pub async fn open_existing(application: &Application, config: &Config) -> anyhow::Result<Arc<dyn Backends>> {
    let projections = application.projections.clone();
    match config.family()? {
        Family::Embedded(places) => Ok(Arc::new(EmbeddedBackends::open_existing(projections, places).await?)),
        Family::Distributed(urls) => {
            Ok(Arc::new(DistributedBackends::open_existing(projections, &urls).await?))
        }
    }
}

/// What [`migrate`] made or found.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// N of the store.
    pub shards: u16,
    /// What else there is to say, for people.
    pub notes: Vec<String>,
}

/// Makes whatever is missing in the configured backends; what is there is left as it is. Derived rows that an older program made
/// otherwise are replaced by the servers, when they have filled others beside them.
///
/// # Errors
/// When a part can't be made; the reason names it.
pub async fn migrate(application: &Application, config: &Config) -> anyhow::Result<Prepared> {
    let projections = application.projections.clone();
    let places = match config.family()? {
        Family::Embedded(places) => places,
        Family::Distributed(urls) => {
            return distributed::migrate(&projections, &urls, config.log.shards).await;
        }
    };
    let backends = EmbeddedBackends::open(application, config, places).await?;
    let shards = backends.log().store().shards;
    for group in backends.groups().await? {
        group.store.prepare(&group.projections, backends.log().store()).await?;
    }
    backends.signing_keys().await?;
    backends.cursor_key().await?;
    Ok(Prepared { shards, notes: vec![format!("prepared in {}", config.data.dir.display())] })
}
