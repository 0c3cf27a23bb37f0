//! The keeper's task.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use domain::command::CommandError;
use domain::pauses;
use domain::ports::leases::{Instance, InstanceId, Lease, Leases};
use domain::ports::log::LogError;
use domain::position::Shard;
use futures::FutureExt as _;
use futures::stream::{self, StreamExt};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::LeaseConfig;
use super::plan::{Action, Local, View, plan};
use super::sight::Sight;
use crate::owner::Owners;

/// Looks at the rows that something asked for come no closer than this.
const QUICK: Duration = Duration::from_millis(50);
/// Rows written at once.
const AT_ONCE: usize = 4;

/// Keeps the leases of one process's shards until it is told to stop.
pub struct LeaseKeeper {
    tasks: TaskTracker,
}

impl LeaseKeeper {
    /// Starts to claim shards for `owners`. `instance` must be reachable by its peers already. When `stop` is cancelled, every shard
    /// is released, answered and given to whoever wants it, and the announcement is taken back.
    #[must_use]
    pub fn start(
        owners: Arc<Owners>,
        leases: Arc<dyn Leases>,
        instance: Instance,
        config: LeaseConfig,
        stop: CancellationToken,
    ) -> Self {
        let tasks = TaskTracker::new();
        tasks.spawn(async move {
            loop {
                let keeper =
                    Keeper::new(Arc::clone(&owners), Arc::clone(&leases), instance.clone(), config.clone());
                if AssertUnwindSafe(keeper.run(stop.clone())).catch_unwind().await.is_ok() {
                    return;
                }
                // A process without a keeper would never own a shard again. A new one sees in the rows and the owners how things stand.
                tracing::error!("the keeper of the leases panicked; another one takes its place");
                if stop.run_until_cancelled(tokio::time::sleep(config.beat)).await.is_none() {
                    // In the middle of a stop, or right before one: what can't be handed over lapses.
                    return;
                }
            }
        });
        tasks.close();
        Self { tasks }
    }

    /// Waits until every shard is released after the stop.
    pub async fn ended(&self) {
        self.tasks.wait().await;
    }
}

/// What a shard is to this process, and until when it stays away from it.
#[derive(Debug, Clone, Copy)]
struct Stand {
    local: Local,
    barred_until: Option<Instant>,
}

enum Done {
    Acquired(Shard, Result<u64, CommandError>),
    Ended(Shard),
}

struct Keeper {
    owners: Arc<Owners>,
    leases: Arc<dyn Leases>,
    me: Instance,
    config: LeaseConfig,
    sight: Sight,
    local: HashMap<Shard, Stand>,
    /// Takeovers and releases under way.
    work: JoinSet<Done>,
    announced: Option<Instant>,
    /// Looks that failed, one after another.
    failures: u32,
}

impl Keeper {
    fn new(owners: Arc<Owners>, leases: Arc<dyn Leases>, me: Instance, config: LeaseConfig) -> Self {
        Self {
            owners,
            leases,
            me,
            config,
            sight: Sight::default(),
            local: HashMap::new(),
            work: JoinSet::new(),
            announced: None,
            failures: 0,
        }
    }

    async fn run(mut self, stop: CancellationToken) {
        let mut endings = self.owners.endings();
        let mut looked: Option<Instant> = None;
        let mut due = Instant::now();
        loop {
            // Whatever asks for a look, the rows are not read all the time.
            let earliest = looked.map_or_else(Instant::now, |at| at + QUICK);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(done) = self.work.join_next(), if !self.work.is_empty() => {
                    match done {
                        Ok(done) => self.done(done),
                        // Their panics are caught, and nobody cancels them.
                        Err(error) => tracing::error!(%error, "a takeover or release failed"),
                    }
                    // The row says so at once.
                    due = Instant::now();
                    looked = None;
                }
                Ok(()) = endings.changed() => due = due.min(earliest),
                () = self.owners.wanted(), if due > earliest => due = earliest,
                () = tokio::time::sleep_until(due) => {
                    let looking = stop.run_until_cancelled(self.look());
                    let Some(looking) = looking.await else { break };
                    looked = Some(Instant::now());
                    due = Instant::now() + self.next_look(looking);
                }
            }
        }
        self.stop().await;
    }

    /// How long until the next look.
    fn next_look(&mut self, looked: Result<bool, LogError>) -> Duration {
        match looked {
            Ok(unbalanced) => {
                self.failures = 0;
                // Shards change hands: each is without an owner for as long as the next one doesn't look.
                if unbalanced { QUICK } else { self.config.beat / 2 }
            }
            Err(error) => {
                // Its shards stay its own: safety is in the slots.
                tracing::warn!(%error, "the leases can't be kept, trying again");
                self.failures = self.failures.saturating_add(1);
                pauses::after(self.failures, self.config.beat / 4, self.config.beat * 2)
            }
        }
    }

    /// Looks at the rows and does what is due; answers whether shards are about to change hands.
    async fn look(&mut self) -> Result<bool, LogError> {
        self.announce().await?;
        let (rows, live) =
            futures::try_join!(self.bounded(self.leases.leases()), self.bounded(self.leases.instances()))?;
        let now = Instant::now();
        self.sight.see(rows, now);
        self.see_owners(now);
        let mut live: Vec<InstanceId> = live.into_iter().map(|instance| instance.id).collect();
        live.retain(|id| *id != self.me.id);
        live.push(self.me.id);
        let shards = self.sight.rows(now).map(|(lease, since)| (lease, since, self.local(lease.shard)));
        let next = plan(&View { me: self.me.id, live: &live, shards: shards.collect() }, &self.config);
        self.carry_out(next.actions).await?;
        Ok(next.unbalanced)
    }

    async fn bounded<T>(&self, call: impl Future<Output = Result<T, LogError>>) -> Result<T, LogError> {
        let within = self.config.lease / 2;
        tokio::time::timeout(within, call).await.unwrap_or_else(|_| {
            Err(LogError::Unavailable(format!("no answer within {} ms", within.as_millis())))
        })
    }

    async fn announce(&mut self) -> Result<(), LogError> {
        if self.announced.is_some_and(|at| at.elapsed() < self.config.beat) {
            return Ok(());
        }
        let now = Instant::now();
        self.bounded(self.leases.announce(&self.me, self.config.lease)).await?;
        self.announced = Some(now);
        Ok(())
    }

    fn local(&self, shard: Shard) -> Local {
        self.local.get(&shard).map_or(Local::Idle, |stand| stand.local)
    }

    fn set(&mut self, shard: Shard, local: Local) {
        self.local.insert(shard, Stand { local, barred_until: None });
    }

    fn bar(&mut self, shard: Shard, until: Instant) {
        self.local.insert(shard, Stand { local: Local::Barred, barred_until: Some(until) });
    }

    /// Compares with what the owners say, and tells them who owns what they don't.
    fn see_owners(&mut self, now: Instant) {
        let shards: Vec<Shard> = self.sight.rows(now).map(|(row, _)| row.shard).collect();
        for shard in shards {
            let elsewhere = self.sight.owner(shard).filter(|owner| owner.id != self.me.id);
            self.owners.seen_elsewhere(shard, elsewhere.map(|owner| owner.address.as_str()));
            let row_is_mine = self.sight.owner(shard).is_some_and(|owner| owner.id == self.me.id);
            let barred_until = self.local.get(&shard).and_then(|stand| stand.barred_until);
            match self.local(shard) {
                Local::Serving { epoch } if !self.owners.owns(shard) => {
                    tracing::warn!(%shard, epoch, "deposed: another process fenced the shard off");
                    self.bar(shard, now + self.config.lease);
                }
                Local::Idle => {
                    // Somebody had it acquired by hand.
                    if let Some(epoch) = self.owners.epoch(shard) {
                        self.set(shard, Local::Serving { epoch });
                    }
                }
                Local::Released if !row_is_mine => self.set(shard, Local::Idle),
                Local::Barred if barred_until.is_some_and(|until| until <= now) => {
                    self.set(shard, Local::Idle)
                }
                _ => {}
            }
        }
    }

    async fn carry_out(&mut self, actions: Vec<Action>) -> Result<(), LogError> {
        let mut writes = Vec::new();
        for action in actions {
            match action {
                Action::Acquire(shard) => self.acquire(shard),
                Action::Yield(shard) | Action::HandOver(shard) => self.end(shard),
                Action::Renew(shard) | Action::Claim(shard) => {
                    let epoch = match self.local(shard) {
                        Local::Serving { epoch } => epoch,
                        _ => self.sight.row(shard).map_or(0, |row| row.epoch),
                    };
                    writes.push((action, shard, Some(self.me.clone()), epoch));
                }
                Action::GiveUp(shard) => {
                    writes.push((action, shard, None, self.sight.row(shard).map_or(0, |row| row.epoch)));
                }
            }
        }
        let writes: Vec<_> = writes
            .into_iter()
            .filter_map(|(action, shard, owner, epoch)| {
                let seen = self.sight.row(shard)?.beat;
                Some((action, seen, Lease { shard, owner, epoch, beat: seen + 1 }))
            })
            .collect();
        let keeper = &*self;
        let written: Vec<_> = stream::iter(writes)
            .map(|(action, seen, next)| async move {
                (action, keeper.bounded(keeper.leases.replace(seen, &next)).await, next)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut failed = None;
        for (action, outcome, next) in written {
            match outcome {
                Ok(None) => self.written(action, next),
                // Somebody else wrote first; the next look sees what is to be done.
                Ok(Some(stands)) => self.sight.see_one(stands, Instant::now()),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn written(&mut self, action: Action, row: Lease) {
        let shard = row.shard;
        self.sight.see_one(row, Instant::now());
        match action {
            Action::Claim(_) if self.local(shard) == Local::Idle => self.acquire(shard),
            Action::GiveUp(_) if self.local(shard) == Local::Released => self.set(shard, Local::Idle),
            _ => {}
        }
    }

    fn acquire(&mut self, shard: Shard) {
        self.set(shard, Local::Acquiring);
        let owners = Arc::clone(&self.owners);
        self.work.spawn(async move {
            // A fault of the program's own is one more reason why the shard can't be had here: its lease must go to others.
            let acquired = AssertUnwindSafe(owners.acquire(shard)).catch_unwind().await;
            let fault = || Err(CommandError::Internal("taking the shard over panicked".to_owned()));
            Done::Acquired(shard, acquired.unwrap_or_else(|_| fault()))
        });
    }

    fn end(&mut self, shard: Shard) {
        self.set(shard, Local::Releasing);
        let owners = Arc::clone(&self.owners);
        self.work.spawn(async move {
            if AssertUnwindSafe(owners.release(shard)).catch_unwind().await.is_err() {
                tracing::error!(%shard, "releasing a shard panicked; its lease is given up all the same");
            }
            Done::Ended(shard)
        });
    }

    fn done(&mut self, done: Done) {
        match done {
            // It was told to end meanwhile, and perhaps before there was anything to end.
            Done::Acquired(shard, Ok(_)) if self.local(shard) != Local::Acquiring => self.end(shard),
            Done::Acquired(shard, Ok(epoch)) => {
                tracing::info!(%shard, epoch, "owns the shard");
                self.set(shard, Local::Serving { epoch });
            }
            Done::Acquired(shard, Err(error)) => {
                tracing::error!(%shard, %error, "the shard can't be taken over");
                self.bar(shard, Instant::now() + self.config.lease);
            }
            Done::Ended(shard) => {
                tracing::info!(%shard, "owns the shard no longer");
                self.set(shard, Local::Released);
            }
        }
    }

    /// Hands everything over. What can't be written lapses by itself after the lease time.
    async fn stop(mut self) {
        // First, so that the others know that these shards are theirs to claim.
        if let Err(error) = self.bounded(self.leases.withdraw(self.me.id)).await {
            tracing::warn!(%error, "the announcement could not be taken back; it lapses");
        }
        self.work.shutdown().await;
        if let Ok(rows) = self.bounded(self.leases.leases()).await {
            self.sight.see(rows, Instant::now());
        }
        let shards: Vec<Shard> = self.sight.rows(Instant::now()).map(|(row, _)| row.shard).collect();
        let keeper = &self;
        stream::iter(shards)
            .for_each_concurrent(AT_ONCE, |shard| async move {
                keeper.owners.release(shard).await;
                let given_up = keeper.bounded(keeper.give_up(shard));
                if let Err(error) = given_up.await {
                    tracing::warn!(%shard, %error, "the lease could not be given up; it lapses");
                }
            })
            .await;
    }

    /// Takes the own name out of the row, also when what was last seen of it is out of date.
    async fn give_up(&self, shard: Shard) -> Result<(), LogError> {
        let mut row = self.sight.row(shard).cloned();
        while let Some(seen) = row
            && seen.owner.as_ref().is_some_and(|owner| owner.id == self.me.id)
        {
            let next = Lease { owner: None, beat: seen.beat + 1, ..seen };
            row = match self.leases.replace(seen.beat, &next).await {
                Ok(stands) => stands,
                Err(error) => {
                    tracing::debug!(%shard, %error, "giving a lease up again");
                    tokio::time::sleep(QUICK).await;
                    self.leases.leases().await?.into_iter().find(|row| row.shard == shard)
                }
            };
        }
        Ok(())
    }
}
