//! Commands issued from the command line, without serving anybody.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use command_api::web::CommandState;
use command_api::web::peers::{self, PeerSecret};
use command_api::web::tokens::Tokens;
use domain::ports::clock::{Clock, SystemClock};
use domain::ports::gateway::CommandGateway;
use domain::ports::log::EventLog;
use metrics::NoopRecorder;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::command_role::{CommandRole, way_to_owners};
use super::connections::{self, Limits};
use crate::application::Application;
use crate::backends::{self, Backends, Cluster};
use crate::config::Config;
use crate::http::admission::Admission;

/// How long to wait until running servers own every shard, or until the last one that was killed counts as gone.
const SETTLE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What deciding commands needs, for as long as an operator's command runs.
pub struct CommandLine {
    /// What the handlers of commands share.
    pub state: CommandState,
    role: Option<CommandRole>,
    backends: Arc<dyn Backends>,
    stop_listening: CancellationToken,
}

impl CommandLine {
    /// Opens the backends, and the way to the owners: those of running servers, or own ones when no server runs.
    ///
    /// # Errors
    /// When a part can't be opened; the reason names it.
    pub async fn open(application: &Application, config: &Config) -> anyhow::Result<Self> {
        let backends = backends::open(application, config).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let stop_listening = CancellationToken::new();
        let (mut role, mut gateway): (_, Option<Arc<dyn CommandGateway>>) = (None, None);
        match backends.cluster().await? {
            Some(cluster) if servers_own_all(&cluster).await? => {
                let registry = Arc::clone(&application.aggregates);
                gateway = Some(way_to_owners(&cluster, None, backends.log().store().shards, registry)?);
            }
            _ => {
                let own = own(config, &*backends, application, Arc::clone(&clock), &stop_listening);
                role = Some(own.await?);
            }
        }
        let gateway = role.as_ref().map(|role| Arc::clone(&role.gateway)).or(gateway);
        let gateway = gateway.context("no way to the owners")?;
        let tokens = Arc::new(Tokens::new(backends.signing_keys().await?, Arc::clone(&clock)));
        let keys = backends.keys().await?;
        let state = CommandState::new(gateway, keys, clock, tokens);
        Ok(Self { state, role, backends, stop_listening })
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> Arc<dyn EventLog> {
        self.backends.log()
    }

    /// Takes no more commands, and writes what is outstanding.
    pub async fn stop(&self) {
        if let Some(role) = &self.role {
            role.stop().await;
        }
        self.stop_listening.cancel();
        self.backends.stop().await;
    }
}

/// Whether running servers own every shard; false when none runs.
async fn servers_own_all(cluster: &Cluster) -> anyhow::Result<bool> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let running = cluster.leases.instances().await?;
        if running.is_empty() {
            return Ok(false);
        }
        let leases = cluster.leases.leases().await?;
        let is_running = |owner| running.contains(&owner);
        if leases.into_iter().all(|lease| lease.owner.is_some_and(is_running)) {
            return Ok(true);
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "servers run, but after {} s they still don't own every shard",
            SETTLE.as_secs()
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Own owners. Servers that start meanwhile can ask them, if they run on this machine; others wait until this command has ended.
async fn own(
    config: &Config,
    backends: &dyn Backends,
    application: &Application,
    clock: Arc<dyn Clock>,
    stop: &CancellationToken,
) -> anyhow::Result<CommandRole> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let address = listener.local_addr()?.to_string();
    let role = CommandRole::start(config, backends, address, application, clock, &NoopRecorder).await?;
    if let Some(secret) = role.peer_secret() {
        let router = peers::router(
            Arc::clone(&role.owners),
            Arc::clone(&application.aggregates),
            PeerSecret::new(secret),
        );
        let limits = Limits::new(&config.http, Admission::new(&config.http));
        let stop = stop.clone();
        tokio::spawn(async move { connections::serve(listener, router, limits, &stop).await });
        role.claim();
    }
    Ok(role)
}
