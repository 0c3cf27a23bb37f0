//! The roles of one process, opened in order and stopped in the opposite one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use command_api::web::CommandState;
use command_api::web::conventions::Conventions;
use command_api::web::door::Door;
use command_api::web::peers::PeerSecret;
use command_api::web::tokens::Tokens;
use domain::aggregate::Registry;
use domain::ports::clock::{Clock, SystemClock};
use domain::ports::gateway::CommandGateway;
use domain::position::Position;
use metrics::Recorder;
use projections::engine::origin::expect_made_from;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::backlog::Braked;
use super::command_role::{CommandRole, way_to_owners};
use super::projection_role::ProjectionRole;
use super::query_role;
use super::saga_role::SagaRole;
use crate::application::Application;
use crate::backends::{self, Backends};
use crate::config::sections::Http;
use crate::config::{Config, Role};
use crate::feed::find_heads;
use crate::figures;
use crate::http::admission::Admission;
use crate::http::exposure::AdminAddress;
use crate::http::health::{Health, HealthParts};
use crate::http::{Served, admin_router, operations, router};
use crate::progress::Progress;

/// How long a stop waits for the projections to see what the owners decided last. What they don't see is applied after the
/// next start.
const CATCH_UP: Duration = Duration::from_secs(5);

/// The running roles of one process, without its listener.
pub struct App {
    /// The HTTP API of the roles.
    pub router: Router,
    /// What operators ask.
    pub(super) admin_router: Router,
    /// Where they ask it.
    pub(super) admin: AdminAddress,
    /// The connections to the API.
    pub(super) connections: Admission,
    backends: Arc<dyn Backends>,
    command_state: Option<CommandState>,
    commands: Option<CommandRole>,
    projections: Option<ProjectionRole>,
    sagas: Option<SagaRole>,
    progress: Progress,
    /// Ends what follows other processes' work.
    stop_following: CancellationToken,
    /// Ends what is done in the background.
    stop_chores: CancellationToken,
    chores: Mutex<Vec<(&'static str, JoinHandle<()>)>>,
}

impl App {
    /// Opens the roles that the configuration names, in a process that listens on `address`.
    ///
    /// # Errors
    /// When a part can't be opened: the reason names it.
    pub async fn open(
        application: &Application,
        config: &Config,
        address: SocketAddr,
    ) -> anyhow::Result<Self> {
        application.check(config)?;
        let backends = backends::open(application, config).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let registry = Arc::clone(&application.aggregates);
        let runs = |role: Role| config.runs(role);
        let recorder = Arc::new(figures::recorder()?);
        let figures = recorder.handle();

        let commands = match runs(Role::CommandApi) {
            true => {
                let advertised = config.advertised(address);
                let clock = Arc::clone(&clock);
                Some(
                    CommandRole::start(config, &*backends, advertised, application, clock, &*recorder)
                        .await?,
                )
            }
            false => None,
        };
        let projections = match runs(Role::Projections) {
            true => Some(ProjectionRole::start(config, &*backends, Arc::clone(&clock)).await?),
            false => None,
        };
        if (runs(Role::QueryApi) || runs(Role::Sagas)) && !runs(Role::Projections) {
            for group in backends.groups().await? {
                expect_made_from(&*group.store, &group.projections, &*backends.log()).await?;
            }
        }
        let stop_following = CancellationToken::new();
        let followers = match Role::ALL.iter().any(|role| *role != Role::CommandApi && runs(*role)) {
            true => backends.follow(&stop_following).await?,
            false => Vec::new(),
        };
        let runners = projections.as_ref().map(|role| role.runners.clone()).unwrap_or_default();
        let progress = Progress::new(runners, followers);
        let marks = progress.watermarks();
        let (stop_chores, mut chores) = (CancellationToken::new(), Vec::new());
        let sagas = match application.processes.as_deref().filter(|_| runs(Role::Sagas)) {
            Some(processes) => {
                let gateway = match &commands {
                    Some(role) => Arc::clone(&role.gateway),
                    None => way_to_others(&*backends, Arc::clone(&registry)).await?,
                };
                for chore in &application.chores {
                    let (gateway, stop) = (Arc::clone(&gateway), stop_chores.clone());
                    chores.push((chore.name(), chore.begin(gateway, &*backends, &marks, stop).await?));
                }
                let clock = Arc::clone(&clock);
                Some(
                    SagaRole::start(processes, config, &*backends, gateway, &marks, clock, &*recorder)
                        .await?,
                )
            }
            None => None,
        };

        let tokens = Tokens::new(backends.signing_keys().await?, Arc::clone(&clock));
        let tokens = Arc::new(tokens.named(&config.auth.issuer, &config.auth.audience));
        let command_state = match &commands {
            Some(role) => {
                let keys = backends.keys().await?;
                let (gateway, backlog) = (Arc::clone(&role.gateway), Arc::clone(&role.backlog));
                // Read models that other processes write too aren't this one's to keep pace with.
                let readers = match (&projections, role.peer_secret()) {
                    (Some(projections), None) => projections.runners.clone(),
                    _ => Vec::new(),
                };
                let paced = Arc::clone(&backlog);
                let read_side = Box::new(move || paced.falls_behind(&readers));
                let gateway = Arc::new(Braked::new(gateway, backlog, read_side));
                let tokens = Arc::clone(&tokens);
                Some(CommandState::new(gateway, keys, Arc::clone(&clock), tokens))
            }
            None => None,
        };
        let queries = match runs(Role::QueryApi) {
            true => Some(query_role::open(config, &*backends, Arc::clone(&registry), marks).await?),
            false => None,
        };
        let conventions = conventions(application, &config.http, tokens, recorder);
        let (admin, connections) = (AdminAddress::default(), Admission::new(&config.http));
        let parts = HealthParts {
            roles: config.running(),
            backends: Arc::clone(&backends),
            owners: commands.as_ref().map(|role| Arc::clone(&role.owners)),
            progress: progress.clone(),
            sagas: match &sagas {
                Some(_) => Some(backends.saga_work().await?),
                None => None,
            },
            stuck_reasons: application.processes.as_ref().map_or(&[], |processes| processes.stuck_reasons()),
            conservation: projections.as_ref().and_then(|role| role.conservation.clone()),
            max_lag: config.read.max_lag,
            stuck_after: config.fulfilment.stuck_after.0,
            door: conventions.door.clone(),
            connections: connections.clone(),
            figures: figures.clone(),
        };
        let health = Health::new(parts, admin.clone());
        let admin_router = admin_router(&conventions, health.clone());
        let served = Served {
            conventions,
            commands: command_state.clone(),
            queries,
            peers: peers(commands.as_ref(), registry),
            processes: sagas.as_ref().map(|role| role.router.clone()),
            health,
        };
        let router = router(application, served).context("the OpenAPI document")?;
        if let Some(role) = &commands {
            role.claim();
        }
        chores.push(("figures", tokio::spawn(figures::keep_counting(figures, stop_chores.clone()))));
        Ok(Self {
            router,
            admin_router,
            admin,
            connections,
            backends,
            command_state,
            commands,
            projections,
            sagas,
            progress,
            stop_following,
            stop_chores,
            chores: Mutex::new(chores),
        })
    }

    /// What the handlers of commands share.
    ///
    /// # Errors
    /// When this process doesn't take commands.
    pub fn command_state(&self) -> anyhow::Result<&CommandState> {
        self.command_state.as_ref().context("this process doesn't run the role command-api")
    }

    /// Gives this process's shards to others, and still takes commands for them: the beginning of a stop.
    pub async fn hand_over(&self) {
        if let Some(commands) = &self.commands {
            commands.hand_over().await;
        }
    }

    /// Ends every role, in order: sagas issue no more commands, owners answer what was accepted, projections see what was
    /// decided. Nothing may call the router any more.
    pub async fn stop(&self) {
        self.stop_chores.cancel();
        for (name, chore) in self.chores.lock().await.drain(..) {
            if let Err(error) = chore.await {
                tracing::error!(%error, chore = name, "what was done in the background failed");
            }
        }
        if let Some(sagas) = &self.sagas {
            sagas.stop().await;
        }
        if let Some(commands) = &self.commands {
            commands.stop().await;
        }
        if let Some(projections) = &self.projections {
            if self.commands.is_some() {
                self.progress.catch_up(self.decided().await, CATCH_UP).await;
            }
            projections.stop().await;
        }
        self.stop_following.cancel();
        self.progress.stopped().await;
        self.backends.stop().await;
    }

    /// The log's heads now, or as they were last known when it can't be read.
    async fn decided(&self) -> Vec<Position> {
        find_heads(&*self.backends.log()).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the log's heads can't be looked up");
            self.backends.heads()
        })
    }
}

/// What a query waits for beside its Sync-Token, at most.
const BESIDE_THE_TOKEN: Duration = Duration::from_secs(5);

/// What every request of this process is bound to.
fn conventions(
    application: &Application,
    config: &Http,
    tokens: Arc<Tokens>,
    recorder: Arc<dyn Recorder + Send + Sync>,
) -> Conventions {
    Conventions {
        time_limit: config.answer_within.0.max(config.sync_wait.0 + BESIDE_THE_TOKEN),
        door: Door::new(usize::try_from(config.max_requests).unwrap_or(usize::MAX)),
        ..Conventions::new(tokens, &operations(application), recorder)
    }
}

/// The way to the owners in other processes.
async fn way_to_others(
    backends: &dyn Backends,
    registry: Arc<Registry>,
) -> anyhow::Result<Arc<dyn CommandGateway>> {
    let cluster = backends.cluster().await?.context("the owners can only be in this process")?;
    way_to_owners(&cluster, None, backends.log().store().shards, registry)
}

/// What peers ask of the owners here.
fn peers(commands: Option<&CommandRole>, registry: Arc<Registry>) -> Router {
    match commands.and_then(|role| Some((role, role.peer_secret()?))) {
        Some((role, secret)) => {
            command_api::web::peers::router(Arc::clone(&role.owners), registry, PeerSecret::new(secret))
        }
        None => Router::new(),
    }
}
