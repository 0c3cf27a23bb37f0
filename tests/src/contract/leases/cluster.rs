//! Several instances over one store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use command_api::leases::{LeaseConfig, LeaseKeeper};
use command_api::owner::{OwnerConfig, Owners};
use command_api::peers::{PeerError, Peers, RoutedConfig, RoutedGateway};
use command_api::web::peers::{PeerSecret, router};
use domain::aggregate::Registry;
use domain::command::{Accepted, CommandId, CommandRequest};
use domain::merkle::Hash;
use domain::ports::clock::SystemClock;
use domain::ports::gateway::StreamView;
use domain::ports::leases::{Instance, InstanceId};
use domain::position::Shard;
use domain::stream::StreamId;
use infra::peers::HttpPeers;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::FreshLeases;
use crate::contract::owners::World;
use crate::contract::owners::note::Note;
use crate::contract::owners::world::Published;
use crate::faults::FaultyLog;
use crate::leases::HeldLeases;
use crate::shop::SETTLES_WITHIN;

/// Shared by the instances of a test.
pub const SECRET: [u8; 32] = [9; 32];

/// Short times, but long enough for a busy machine.
pub fn times() -> LeaseConfig {
    LeaseConfig { beat: Duration::from_millis(250), lease: Duration::from_millis(1_500) }
}

/// Waits until something is so.
///
/// # Panics
/// When it isn't so in the end.
pub async fn until<F: Future<Output = bool>>(what: &str, is: impl Fn() -> F) {
    let so = async {
        while !is().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(SETTLES_WITHIN, so).await.is_ok(), "never: {what}");
}

/// The aggregates of the test's application.
pub fn registry() -> Arc<Registry> {
    Arc::new(Registry::default().with::<Note>())
}

/// A store with the instances that a test starts on it.
pub struct Cluster<B> {
    /// The store.
    pub world: World<B>,
}

/// One instance.
pub struct Member {
    /// Its owners.
    pub owners: Arc<Owners>,
    /// Takes any command.
    pub gateway: Arc<RoutedGateway>,
    /// Between it and the log.
    pub log: Arc<FaultyLog>,
    /// Between it and the leases.
    pub leases: Arc<HeldLeases>,
    /// Where its peers reach it.
    pub address: String,
    keeper: LeaseKeeper,
    stop: CancellationToken,
    listener: tokio::task::JoinHandle<()>,
}

impl<B: FreshLeases> Cluster<B> {
    /// A new store of so many shards.
    pub async fn new(shards: u16) -> Self {
        Self { world: World::sharded(shards).await }
    }

    /// Starts an instance.
    pub async fn member(&self) -> Member {
        self.member_over(FaultyLog::new(self.world.log())).await
    }

    /// Starts an instance over a log with faults of its own.
    pub async fn member_over(&self, log: Arc<FaultyLog>) -> Member {
        let registry = registry();
        let leases = HeldLeases::new(self.world.backend.leases());
        let config = OwnerConfig { stop_within: Duration::from_secs(5), ..OwnerConfig::default() };
        let published = Arc::new(Published::default());
        let clock = Arc::new(SystemClock);
        let owners = Owners::standby(log.clone(), Arc::clone(&registry), published, clock, config);
        let owners = Arc::new(owners);
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let routes = router(Arc::clone(&owners), registry, PeerSecret::new(SECRET));
        let listener = tokio::spawn(async move { axum::serve(socket, routes).await.unwrap() });
        let instance = Instance { id: InstanceId(Uuid::now_v7()), address: address.clone() };
        let stop = CancellationToken::new();
        let keeper = LeaseKeeper::start(Arc::clone(&owners), leases.clone(), instance, times(), stop.clone());
        let gateway = self.gateway(Some(Arc::clone(&owners)), peers(), asking());
        Member { owners, gateway, log, leases, address, keeper, stop, listener }
    }

    /// Starts so many instances and waits until they share all shards.
    pub async fn members(&self, count: usize) -> Vec<Member> {
        let members = futures::future::join_all((0..count).map(|_| self.member())).await;
        self.shared_by(&members.iter().collect::<Vec<_>>()).await;
        members
    }

    /// Waits until these instances, and no others, own all shards, each its fair share.
    pub async fn shared_by(&self, members: &[&Member]) {
        let shards = usize::from(self.world.log().store().shards);
        let fair = shards / members.len()..=shards.div_ceil(members.len());
        until("every shard has one owner, and every owner its share", async || {
            let rows = self.world.backend.leases().leases().await.unwrap();
            let mut owned: BTreeMap<&str, Vec<Shard>> = BTreeMap::new();
            for row in &rows {
                if let Some(owner) = &row.owner {
                    owned.entry(&owner.address).or_default().push(row.shard);
                }
            }
            members.iter().all(|member| {
                let own = owned.get(member.address.as_str()).cloned().unwrap_or_default();
                own == member.owners.owned() && fair.contains(&own.len())
            }) && owned.values().map(Vec::len).sum::<usize>() == shards
        })
        .await;
    }

    /// A gateway to the instances.
    pub fn gateway(
        &self,
        local: Option<Arc<Owners>>,
        peers: Arc<dyn Peers>,
        config: RoutedConfig,
    ) -> Arc<RoutedGateway> {
        let shards = self.world.log().store().shards;
        Arc::new(RoutedGateway::new(local, self.world.backend.leases(), peers, shards, config))
    }
}

/// The way to the instances of a test.
pub fn peers() -> Arc<dyn Peers> {
    Arc::new(HttpPeers::new(SECRET, registry()).unwrap())
}

/// Receivers that wait for long: the machine may be busy.
pub fn asking() -> RoutedConfig {
    RoutedConfig { deadline: SETTLES_WITHIN, ..RoutedConfig::default() }
}

impl Member {
    /// Ends it in order, as a server does: its shards go to the others while it still answers.
    pub async fn stop(self) {
        self.stop.cancel();
        self.keeper.ended().await;
        self.listener.abort();
        self.owners.stop().await;
    }

    /// Its end without any order: nobody renews its leases, and nobody answers.
    pub async fn die(&self) {
        self.leases.hold(true);
        self.listener.abort();
        // Until then its socket takes connections, whose requests might have been done.
        while !self.listener.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}

/// Peers whose answers get lost.
pub struct LossyPeers {
    inner: Arc<dyn Peers>,
    lose: AtomicUsize,
}

impl LossyPeers {
    /// Peers whose next answers to commands, so many, get lost after they were made.
    pub fn losing(answers: usize) -> Arc<Self> {
        Arc::new(Self { inner: peers(), lose: AtomicUsize::new(answers) })
    }
}

#[async_trait]
impl Peers for LossyPeers {
    async fn submit(
        &self,
        address: &str,
        shard: Shard,
        command: &CommandRequest,
    ) -> Result<Accepted, PeerError> {
        let answer = self.inner.submit(address, shard, command).await;
        let lost = self.lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if lost.is_ok() { Err(PeerError::NoAnswer("lost".into())) } else { answer }
    }

    async fn read(
        &self,
        address: &str,
        shard: Shard,
        streams: &[StreamId],
    ) -> Result<Vec<StreamView>, PeerError> {
        self.inner.read(address, shard, streams).await
    }

    async fn answered(
        &self,
        address: &str,
        shard: Shard,
        id: CommandId,
        body_hash: &Hash,
    ) -> Result<Option<Accepted>, PeerError> {
        self.inner.answered(address, shard, id, body_hash).await
    }
}
