//! What every fault test has: engines that it may break, a proxy before Cassandra, and a cluster under load.

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Context as _;
use rand::rngs::StdRng;
use tests::cluster::Cluster;
use tests::engine_set::{Engine, EngineSet};
use tests::history::{History, Round, seeds};
use tests::proxy::Proxy;
use tests::server::{Place, Start};
use tests::workload::Workload;
use tokio::sync::{Mutex, MutexGuard};

/// Shoppers of a workload, each with one order on its way.
const SHOPPERS: usize = 4;

/// A scenario that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(20 * 60);

/// The engines are killed for everybody, so one test has them at a time.
static TURN: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);

/// One round of a test.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) set: EngineSet,
    /// Between the command-api processes and Cassandra.
    pub(crate) proxy: Proxy,
    pub(crate) dice: StdRng,
    workloads: usize,
    // Told after everything else has ended.
    pub(crate) round: Round,
    _turn: MutexGuard<'static, ()>,
}

/// Plays a scenario once for every seed, with so many processes of each role.
pub(crate) async fn play(title: &str, of_each: usize, scenario: impl AsyncFn(&mut World)) {
    play_with(title, of_each, |_, start| start, scenario).await;
}

/// The same, with other settings for the processes of a role.
pub(crate) async fn play_with(
    title: &str,
    of_each: usize,
    how: impl Fn(&'static str, Start) -> Start,
    scenario: impl AsyncFn(&mut World),
) {
    for seed in seeds() {
        let mut world = World::open(title, seed, of_each, &how).await;
        // A test that hangs shall tell what happened until then.
        tokio::time::timeout(LONGEST, scenario(&mut world)).await.expect("it ends some time");
    }
}

impl World {
    async fn open(
        title: &str,
        seed: u64,
        of_each: usize,
        how: impl Fn(&'static str, Start) -> Start,
    ) -> Self {
        let turn = TURN.lock().await;
        let round = History::begin(title, seed);
        let set = tokio::task::block_in_place(EngineSet::up).expect("the engines start");
        let proxy = Proxy::start(&set.engines.cassandra).await.expect("a free port");
        let behind = proxy.address();
        let cluster = Cluster::start(&set.engines, of_each, &round, |role, place: &Place, start| {
            let start = how(role, start);
            match (role, place.names()) {
                ("command-api", Some(names)) => {
                    start.set("log.url", &format!("cassandra://{behind}/{}", names.name()))
                }
                _ => start,
            }
        })
        .await;
        let dice = round.dice();
        Self { cluster, set, proxy, dice, workloads: 0, round, _turn: turn }
    }

    /// A workload of its own.
    pub(crate) async fn workload(&mut self) -> Workload {
        self.workloads += 1;
        let name = format!("load-{}", self.workloads);
        Workload::new(&self.cluster.front, &name, &self.round).await
    }

    /// Shoppers order, the fault happens and is healed, they go on ordering; then all of it is checked, and that
    /// everything holds together.
    pub(crate) async fn survives(&mut self, what: &str, fault: impl AsyncFnOnce(&mut Self, &Workload)) {
        self.round.tell(format!("== {what}"));
        self.cluster.sign_in_again().await;
        let workload = self.workload().await;
        let load = workload.start(SHOPPERS);
        workload.more(10).await;
        fault(self, &workload).await;
        workload.more(10).await;
        load.stop().await;
        workload.check().await;
        self.cluster.holds_together().await;
        self.round.tell(format!("{what}: {}", workload.summary()));
    }

    /// Does something with an engine, which takes a while.
    pub(crate) fn engine(
        &self,
        what: &str,
        engine: Engine,
        act: impl FnOnce(&EngineSet, Engine) -> anyhow::Result<()>,
    ) {
        self.round.tell(format!("{what} {}", engine.name()));
        let done = tokio::task::block_in_place(|| act(&self.set, engine));
        done.with_context(|| format!("{what} {}", engine.name())).expect("the engine does as it is told");
        self.round.tell(format!("{what} {}: done", engine.name()));
    }
}
