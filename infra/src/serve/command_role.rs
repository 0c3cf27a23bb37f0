//! The role `command-api`: owns shards, and takes commands.

use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use command_api::leases::{LeaseConfig, LeaseKeeper};
use command_api::owner::{OnDeposed, OwnerConfig, Owners};
use command_api::peers::{RoutedConfig, RoutedGateway};
use domain::aggregate::Registry;
use domain::ports::clock::Clock;
use domain::ports::feed::FanOut;
use domain::ports::gateway::CommandGateway;
use domain::ports::leases::{Instance, InstanceId};
use metrics::{Recorder, with_local_recorder};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::backlog::Backlog;
use crate::application::Application;
use crate::backends::{Backends, Cluster};
use crate::config::Config;
use crate::peers::HttpPeers;

/// The owners of this process, and the way to all owners.
pub struct CommandRole {
    /// The way to the owner of any shard.
    pub gateway: Arc<dyn CommandGateway>,
    /// This process's own.
    pub owners: Arc<Owners>,
    /// What waits for fulfilment in this process's shards.
    pub(super) backlog: Arc<Backlog>,
    member: Option<Member>,
}

/// What makes a process one of several.
struct Member {
    cluster: Cluster,
    me: Instance,
    lease: LeaseConfig,
    keeper: OnceLock<LeaseKeeper>,
    stop: CancellationToken,
}

impl CommandRole {
    /// Takes every shard over where no other process can; else [`claim`](Self::claim) does. `address` is where peers reach this
    /// process. Metrics go to the recorder.
    ///
    /// # Errors
    /// When a part can't be opened or a shard can't be taken over; the reason names it.
    pub async fn start(
        config: &Config,
        backends: &dyn Backends,
        address: String,
        application: &Application,
        clock: Arc<dyn Clock>,
        recorder: &(dyn Recorder + Sync),
    ) -> anyhow::Result<Self> {
        let registry = Arc::clone(&application.aggregates);
        let backlog = Backlog::before(backends.fan_out().await?, Arc::clone(&clock), application.pace);
        let (log, fan_out) = (backends.log(), Arc::clone(&backlog) as Arc<dyn FanOut>);
        let Some(cluster) = backends.cluster().await? else {
            // No other process can own a shard of a locked directory, so a loss of ownership is always this process's own doing.
            let config = OwnerConfig { on_deposed: OnDeposed::TakeOverAgain, ..OwnerConfig::default() };
            let owners =
                with_local_recorder(recorder, || Owners::start(log, registry, fan_out, clock, config));
            let owners = Arc::new(owners.await.context("the shards can't be taken over")?);
            return Ok(Self { gateway: owners.clone(), owners, backlog, member: None });
        };
        let owners = Arc::new(with_local_recorder(recorder, || {
            Owners::standby(log, Arc::clone(&registry), fan_out, clock, OwnerConfig::over_servers())
        }));
        let gateway = way_to_owners(&cluster, Some(Arc::clone(&owners)), owners.shards(), registry)?;
        let member = Member {
            cluster,
            me: Instance { id: InstanceId(Uuid::new_v4()), address },
            lease: LeaseConfig { beat: config.lease.beat.0, lease: config.lease.time.0 },
            keeper: OnceLock::new(),
            stop: CancellationToken::new(),
        };
        Ok(Self { gateway, owners, backlog, member: Some(member) })
    }

    /// Claims this process's share of the shards from now on. Peers must be able to reach it.
    pub fn claim(&self) {
        let Some(member) = &self.member else { return };
        member.keeper.get_or_init(|| {
            let (owners, leases) = (Arc::clone(&self.owners), Arc::clone(&member.cluster.leases));
            let stop = member.stop.clone();
            LeaseKeeper::start(owners, leases, member.me.clone(), member.lease.clone(), stop)
        });
    }

    /// Gives all shards to whoever wants them; what was accepted is answered. Commands still go to their new owners.
    pub async fn hand_over(&self) {
        let Some(member) = &self.member else { return };
        member.stop.cancel();
        if let Some(keeper) = member.keeper.get() {
            keeper.ended().await;
        }
    }

    /// What peers prove to each other that they belong together with; `None` where there can be no peers.
    #[must_use]
    pub fn peer_secret(&self) -> Option<[u8; 32]> {
        self.member.as_ref().map(|member| member.cluster.secret)
    }

    /// Takes no more commands, answers what was accepted, and writes what is outstanding.
    pub async fn stop(&self) {
        self.hand_over().await;
        self.owners.stop().await;
    }
}

/// The way to the owners of a store that many processes share.
///
/// # Errors
/// When no HTTP client can be made.
pub(super) fn way_to_owners(
    cluster: &Cluster,
    local: Option<Arc<Owners>>,
    shards: u16,
    registry: Arc<Registry>,
) -> anyhow::Result<Arc<dyn CommandGateway>> {
    let peers = Arc::new(HttpPeers::new(cluster.secret, registry)?);
    let leases = Arc::clone(&cluster.leases);
    Ok(Arc::new(RoutedGateway::new(local, leases, peers, shards, RoutedConfig::default())))
}
