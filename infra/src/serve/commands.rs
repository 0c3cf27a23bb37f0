//! The command side of a process: data directory, log, feed, keys and owners.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use command_api::http::CommandState;
use command_api::http::tokens::Tokens;
use command_api::owner::{OnDeposed, OwnerConfig, Owners};
use domain::aggregate::Registry;
use domain::ports::clock::{Clock, SystemClock};
use domain::ports::feed::{FanOut, Feed as _};
use domain::ports::gateway::CommandGateway;
use domain::ports::keys::SubjectKeys;
use domain::ports::log::{EventLog, LogReader};

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::feed::InProcessFeed;
use crate::key_files::signing_keys;
use crate::sqlite::keys::SqliteKeys;
use crate::sqlite::log::SqliteLog;

/// Everything that deciding commands needs.
pub struct CommandSide {
    /// What the handlers of commands share; its gateway is the way to the owners.
    pub state: CommandState,
    /// The event log.
    pub log: Arc<SqliteLog>,
    /// The fan-out.
    pub feed: Arc<InProcessFeed>,
    /// Every aggregate type, sagas too.
    pub registry: Arc<Registry>,
    owners: Arc<Owners>,
    /// Held to the end.
    _directories: Vec<DataDir>,
}

impl CommandSide {
    /// Opens the data directory, makes what is missing in it, and takes every shard over.
    ///
    /// # Errors
    /// When a part can't be opened; the reason names it.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let dir: &Path = &config.data.dir;
        let directories = DataDir::open_all(&config.directories())?;
        let log = Arc::new(SqliteLog::open(config.log.url.directory(dir), config.log.shards)?);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let tokens = Tokens::new(signing_keys(dir)?, Arc::clone(&clock));
        let tokens = Arc::new(tokens.named(&config.auth.issuer, &config.auth.audience));
        let feed = Arc::new(InProcessFeed::open(Arc::clone(&log) as Arc<dyn LogReader>).await?);
        // A new store gets new keys; a log that has events refers to those that it was written with.
        let used = feed.heads().iter().any(|head| head.n > 0);
        let keys = if used { SqliteKeys::open_existing(dir)? } else { SqliteKeys::open(dir)? };
        let keys: Arc<dyn SubjectKeys> = Arc::new(keys);
        let registry = Arc::new(sagas::registry());
        // No other process can own a shard of a locked directory, so a loss of ownership is always this process's own doing.
        let owner_config = OwnerConfig { on_deposed: OnDeposed::TakeOverAgain, ..OwnerConfig::default() };
        let owners = Owners::start(
            Arc::clone(&log) as Arc<dyn EventLog>,
            Arc::clone(&registry),
            Arc::clone(&feed) as Arc<dyn FanOut>,
            Arc::clone(&clock),
            owner_config,
        );
        let owners = Arc::new(owners.await.context("the shards can't be taken over")?);
        let gateway = Arc::clone(&owners) as Arc<dyn CommandGateway>;
        let state = CommandState::new(gateway, keys, clock, tokens);
        Ok(Self { state, log, feed, registry, owners, _directories: directories })
    }

    /// Takes no more commands, answers what was accepted, and writes what is outstanding.
    pub async fn stop(&self) {
        self.owners.stop().await;
    }
}
