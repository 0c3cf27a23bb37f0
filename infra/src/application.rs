//! An application: what is built on the platform, as a value. Contexts give its parts, one place joins them, and whatever runs, prints or
//! repairs it takes it as it is: nothing here knows which contexts there are.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use command_api::web::CommandState;
use command_api::web::access::{OPERATOR, Operation};
use command_api::web::routes::Routes;
use domain::aggregate::{AnyCommand, Registry};
use domain::event::RecordedEvent;
use domain::ports::clock::Clock;
use domain::ports::gateway::CommandGateway;
use projections::audit::documents::SearchEvents;
use projections::audit::events::Events;
use projections::engine::model::Projection;
use projections::engine::watermark::Watermark;
use query_api::QueryState;
use sagas::engine::worker::Worker;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;

use crate::backends::Backends;
use crate::config::{Config, ConfigError};

/// What is built on the platform.
#[derive(Clone)]
pub struct Application {
    /// Its aggregates with their events and upcasters, and the processes that go on within a frame.
    pub aggregates: Arc<Registry>,
    /// Its projections.
    pub projections: Projections,
    /// The operations of its command side.
    pub commands: fn() -> Routes<CommandState>,
    /// The operations of its query side.
    pub queries: fn() -> Routes<QueryState>,
    /// Its process managers; without them nothing runs in the role `sagas`.
    pub processes: Option<Arc<dyn ProcessManagers>>,
    /// What its acceptance keeps pace with.
    pub pace: Option<Pace>,
    /// Files that it keeps in the data directory: where one of them is, there was a log.
    pub files: &'static [&'static str],
    /// What is done once in the background after a start, where process managers run.
    pub chores: Vec<Arc<dyn Chore>>,
}

/// The projections of an application.
#[derive(Clone)]
pub struct Projections {
    /// Those whose rows are in the read models' database.
    pub rows: Vec<Arc<dyn Projection>>,
    /// Those whose rows are documents of an [index](projections::engine::index).
    pub documents: Vec<Arc<dyn Projection>>,
}

impl Projections {
    /// What every application has: the events as auditors search them, and these of its own.
    #[must_use]
    pub fn with_audit(mut own: Vec<Arc<dyn Projection>>) -> Self {
        own.extend([Arc::new(Events) as Arc<dyn Projection>, Arc::new(SearchEvents)]);
        let (documents, mut rows): (Vec<_>, Vec<_>) =
            own.into_iter().partition(|projection| projection.index().is_some());
        rows.sort_by_key(|projection| projection.name());
        Self { rows, documents }
    }

    /// What the backends count on: documents have an index, whose name is nobody else's and can name files.
    fn check(&self) -> Result<(), ConfigError> {
        let mut names = HashSet::new();
        for documents in &self.documents {
            let name = documents.name();
            let fits = documents.index().is_some_and(|index| {
                let plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
                index.projection == name && plain(index.name) && plain(name) && names.insert(index.name)
            });
            if !fits {
                let reason = format!(
                    "the projection {name} of documents has no index of its own name, or one that another has"
                );
                return Err(ConfigError::Conflict(reason));
            }
        }
        Ok(())
    }
}

impl Application {
    /// An application of these aggregates with nothing else but what auditors see.
    #[must_use]
    pub fn of(aggregates: Registry) -> Self {
        Self {
            aggregates: Arc::new(aggregates),
            projections: Projections::with_audit(Vec::new()),
            commands: || Routes::of(command_api::web::openapi::base()),
            queries: || query_api::audit_routes(&[OPERATOR]),
            processes: None,
            pace: None,
            files: &[],
            chores: Vec::new(),
        }
    }

    /// Whether it can run as it is configured.
    ///
    /// # Errors
    /// [`ConfigError::Conflict`].
    pub fn check(&self, config: &Config) -> Result<(), ConfigError> {
        config.check()?;
        self.projections.check()?;
        match &self.processes {
            Some(processes) => processes.check(config),
            None if self.chores.is_empty() => Ok(()),
            None => {
                let reason = "chores are done where process managers run, and the application has none";
                Err(ConfigError::Conflict(reason.to_owned()))
            }
        }
    }
}

/// The process managers of an application, with what they use outside.
pub trait ProcessManagers: Send + Sync + 'static {
    /// Whether the configuration lets them run, where it has them run.
    ///
    /// # Errors
    /// [`ConfigError::Conflict`].
    fn check(&self, config: &Config) -> Result<(), ConfigError>;

    /// Their own operations, whether they run here or not.
    fn operations(&self) -> (Vec<Operation>, OpenApi);

    /// Why one of them may be stuck: metrics have a value for each, so that an alarm finds it before it is needed.
    fn stuck_reasons(&self) -> &'static [&'static str];

    /// Makes them ready to run.
    ///
    /// # Errors
    /// When what they use can't be opened; the reason names it.
    fn open(
        &self,
        config: &Config,
        gateway: Arc<dyn CommandGateway>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Managing>;
}

/// Process managers that are ready to run.
pub struct Managing {
    /// What carries their work out.
    pub worker: Worker,
    /// Their operations.
    pub router: Router,
}

/// Work that events begin and end, and the commands that make more of it: while too much is late, these have to wait.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// What an event means for the work of its stream.
    pub means: fn(&RecordedEvent) -> Means,
    /// Whether a command makes more work.
    pub makes_more: fn(&dyn AnyCommand) -> bool,
}

/// What an event means for work that others wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// Nothing.
    Nothing,
    /// It has begun.
    Begun,
    /// It has come so far that nobody waits any more.
    Answered,
}

/// Something that is done once in the background after a start.
#[async_trait]
pub trait Chore: Send + Sync + 'static {
    /// What it is called in the program's own logs.
    fn name(&self) -> &'static str;

    /// Begins it; it ends by itself, or when the token is cancelled.
    ///
    /// # Errors
    /// When what it needs can't be opened.
    async fn begin(
        &self,
        gateway: Arc<dyn CommandGateway>,
        backends: &dyn Backends,
        marks: &[Watermark],
        stop: CancellationToken,
    ) -> anyhow::Result<JoinHandle<()>>;
}
