//! The gateway over own owners and peers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::command::{Accepted, CommandError, CommandId, CommandRequest};
use domain::merkle::Hash;
use domain::pauses::Pauses;
use domain::ports::gateway::{CommandGateway, StreamView};
use domain::ports::leases::Leases;
use domain::position::Shard;
use domain::stream::StreamId;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::attempt::{Failed, judge};
use super::table::Table;
use super::{PeerError, Peers};
use crate::owner::{Owners, by_shard, in_order, shard_of};

/// How a receiver asks owners.
#[derive(Debug, Clone)]
pub struct RoutedConfig {
    /// How long a caller waits at most; then it is 503.
    pub deadline: Duration,
    /// Before the second attempt; doubles up to `longest_pause`.
    pub first_pause: Duration,
    /// Between attempts at most.
    pub longest_pause: Duration,
    /// What is known of the leases is looked up anew after this time.
    pub refresh: Duration,
    /// While an owner owes an answer: after this time, and again, it is looked up whether it still is the owner.
    pub silent: Duration,
}

impl Default for RoutedConfig {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            first_pause: Duration::from_millis(10),
            longest_pause: Duration::from_millis(250),
            refresh: Duration::from_secs(5),
            silent: Duration::from_secs(1),
        }
    }
}

/// After a failure, leases looked at within this time are not looked at again.
const JUST_LOOKED: Duration = Duration::from_millis(50);

/// Any instance takes any command: decided by its own owner, or by the one that the leases name.
pub struct RoutedGateway {
    local: Option<Arc<Owners>>,
    peers: Arc<dyn Peers>,
    table: Table,
    shards: u16,
    config: RoutedConfig,
}

impl RoutedGateway {
    /// A gateway to a store of `shards` shards; without owners of its own when `local` is `None`.
    #[must_use]
    pub fn new(
        local: Option<Arc<Owners>>,
        leases: Arc<dyn Leases>,
        peers: Arc<dyn Peers>,
        shards: u16,
        config: RoutedConfig,
    ) -> Self {
        Self { local, peers, table: Table::new(leases, shards), shards, config }
    }

    /// Asks until there is an answer, or the deadline has come. `command` is the id that a change would have.
    async fn ask<'a, T: Send>(
        &self,
        shard: Shard,
        command: Option<CommandId>,
        local: impl Fn(Arc<Owners>, bool) -> BoxFuture<'a, Result<T, CommandError>> + Send + Sync,
        remote: impl Fn(String) -> BoxFuture<'a, Result<T, PeerError>> + Send + Sync,
    ) -> Result<T, CommandError> {
        let deadline = Instant::now() + self.config.deadline;
        let mut pauses = Pauses::new(self.config.first_pause, self.config.longest_pause);
        // An attempt may have been done without an answer; a peer was asked at all.
        let (mut open, mut asked) = (false, false);
        let mut last_reason = None;
        let is_here = |owners: &Arc<Owners>| owners.owns(shard);
        // A command for a shard of this process doesn't wait for the table.
        if !self.local.as_ref().is_some_and(is_here) {
            self.table.refresh_unless_busy(self.config.refresh).await;
        }
        let mut hinted = false;
        loop {
            let here = self.local.as_ref().filter(|owners| is_here(owners));
            let failed = match (here, self.table.owner(shard)) {
                (Some(owners), _) => match local(Arc::clone(owners), asked).await {
                    // It waited as long as a caller may.
                    Err(unknown @ CommandError::OutcomeUnknown(_)) => return Err(unknown),
                    outcome => outcome.map_err(PeerError::Answered),
                },
                // An answer could hardly come in time, and without one the outcome would be unknown.
                (None, Some(address)) if Instant::now() + self.config.first_pause >= deadline => {
                    let reason = last_reason.take();
                    let reason = reason.unwrap_or_else(|| format!("no time was left to ask {address}"));
                    Err(PeerError::NotReached(reason))
                }
                (None, Some(address)) => {
                    asked = true;
                    self.await_peer(shard, &address, deadline, remote(address.clone())).await
                }
                (None, None) => {
                    Err(PeerError::NotReached(format!("shard {shard} has no owner at the moment")))
                }
            };
            let error = match failed {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let (reason, hint) = match judge(error, open) {
                Failed::Final(error) => return Err(error),
                Failed::NotDone { reason, hint } => (reason, hint),
                Failed::MayBeDone { reason } => {
                    open = true;
                    (reason, None)
                }
            };
            tracing::debug!(%shard, reason, "asking for the shard's owner again");
            if let Some(owners) = &self.local {
                owners.want();
            }
            let pause = pauses.further();
            if Instant::now() + pause >= deadline {
                return Err(match command.filter(|_| open) {
                    Some(id) => CommandError::OutcomeUnknown(id),
                    None => CommandError::Unavailable(reason),
                });
            }
            last_reason = Some(reason);
            tokio::time::sleep(pause).await;
            match hint {
                // Two hints in a row may send in circles.
                Some(address) if !hinted => {
                    hinted = true;
                    self.table.hint(shard, address);
                }
                _ => {
                    hinted = false;
                    self.table.refresh(JUST_LOOKED).await;
                }
            }
        }
    }

    /// Waits for a peer's answer until the deadline, or until the shard has another owner.
    async fn await_peer<T>(
        &self,
        shard: Shard,
        address: &str,
        deadline: Instant,
        call: BoxFuture<'_, Result<T, PeerError>>,
    ) -> Result<T, PeerError> {
        let mut call = call;
        loop {
            let wait = Instant::now() + self.config.silent;
            tokio::select! {
                biased;
                answer = &mut call => return answer,
                () = tokio::time::sleep_until(wait.min(deadline)) => {}
            }
            if Instant::now() >= deadline {
                return Err(PeerError::NoAnswer(format!("{address} did not answer in time")));
            }
            self.table.refresh(self.config.silent / 2).await;
            if self.table.owner(shard).is_none_or(|owner| owner != address) {
                return Err(PeerError::NoAnswer(format!(
                    "shard {shard} went from {address} to another owner"
                )));
            }
        }
    }
}

#[async_trait]
impl CommandGateway for RoutedGateway {
    fn shards(&self) -> u16 {
        self.shards
    }

    async fn submit(&self, command: CommandRequest) -> Result<Accepted, CommandError> {
        let shard = shard_of(&command, self.shards)?;
        let (id, command) = (command.id.repeatable(), &command);
        // A peer may be asked twice: with an id by which it finds what it did the first time.
        let repeatable = move || CommandRequest { id, ..command.clone() };
        let local = move |owners: Arc<Owners>, asked: bool| -> BoxFuture<'_, _> {
            Box::pin(async move {
                // A peer that was asked before may have done it.
                owners.submit(if asked { repeatable() } else { command.clone() }).await
            })
        };
        let remote = |address: String| -> BoxFuture<'_, _> {
            Box::pin(async move { self.peers.submit(&address, shard, &repeatable()).await })
        };
        self.ask(shard, Some(id), local, remote).await
    }

    async fn read(&self, streams: &[StreamId]) -> Result<Vec<StreamView>, CommandError> {
        let reads = by_shard(streams, self.shards).into_iter().map(|(shard, indices)| async move {
            let wanted: Vec<StreamId> = indices.iter().map(|i| streams[*i].clone()).collect();
            let wanted = &wanted;
            let local = move |owners: Arc<Owners>, _| -> BoxFuture<'_, _> {
                Box::pin(async move { owners.read(wanted).await })
            };
            let remote = |address: String| -> BoxFuture<'_, _> {
                Box::pin(async move { self.peers.read(&address, shard, wanted).await })
            };
            let views = self.ask(shard, None, local, remote).await?;
            Ok::<_, CommandError>(indices.into_iter().zip(views).collect::<Vec<_>>())
        });
        in_order(streams.len(), futures::future::try_join_all(reads).await?)
    }

    async fn answered(
        &self,
        shard: Shard,
        id: CommandId,
        body_hash: &Hash,
    ) -> Result<Option<Accepted>, CommandError> {
        let local = move |owners: Arc<Owners>, _| -> BoxFuture<'_, _> {
            Box::pin(async move { owners.answered(shard, id, body_hash).await })
        };
        let remote = |address: String| -> BoxFuture<'_, _> {
            Box::pin(async move { self.peers.answered(&address, shard, id, body_hash).await })
        };
        self.ask(shard, None, local, remote).await
    }
}
