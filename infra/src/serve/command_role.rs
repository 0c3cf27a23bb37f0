//! The role `command-api`: owns shards, and takes commands.

use std::sync::Arc;

use anyhow::Context as _;
use command_api::owner::{OnDeposed, OwnerConfig, Owners};
use domain::aggregate::Registry;
use domain::ports::clock::Clock;
use domain::ports::gateway::CommandGateway;

use crate::backends::Backends;

/// The owners of this process, and the way to all owners.
pub struct CommandRole {
    /// The way to the owner of any shard.
    pub gateway: Arc<dyn CommandGateway>,
    /// This process's own.
    pub owners: Arc<Owners>,
}

impl CommandRole {
    /// Takes every shard over.
    ///
    /// # Errors
    /// When a part can't be opened or a shard can't be taken over; the reason names it.
    pub async fn start(
        backends: &dyn Backends,
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let (log, fan_out) = (backends.log(), backends.fan_out().await?);
        // No other process can own a shard of a locked directory, so a loss of ownership is always this process's own doing.
        let config = OwnerConfig { on_deposed: OnDeposed::TakeOverAgain, ..OwnerConfig::default() };
        let owners = Owners::start(log, registry, fan_out, clock, config).await;
        let owners = Arc::new(owners.context("the shards can't be taken over")?);
        Ok(Self { gateway: owners.clone(), owners })
    }

    /// Takes no more commands, answers what was accepted, and writes what is outstanding.
    pub async fn stop(&self) {
        self.owners.stop().await;
    }
}
