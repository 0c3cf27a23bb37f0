//! Commands issued from the command line, without serving anybody.

use std::sync::Arc;

use command_api::http::CommandState;
use command_api::http::tokens::Tokens;
use domain::ports::clock::{Clock, SystemClock};

use super::command_role::CommandRole;
use crate::backends::{self, Backends};
use crate::config::Config;

/// What deciding commands needs, for as long as an operator's command runs.
pub struct CommandLine {
    /// What the handlers of commands share.
    pub state: CommandState,
    role: CommandRole,
    backends: Arc<dyn Backends>,
}

impl CommandLine {
    /// Opens the backends, and the way to the owners.
    ///
    /// # Errors
    /// When a part can't be opened; the reason names it.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let backends = backends::open(config).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let registry = Arc::new(sagas::registry());
        let role = CommandRole::start(&*backends, registry, Arc::clone(&clock)).await?;
        let tokens = Arc::new(Tokens::new(backends.signing_keys().await?, Arc::clone(&clock)));
        let state = CommandState::new(Arc::clone(&role.gateway), backends.keys().await?, clock, tokens);
        Ok(Self { state, role, backends })
    }

    /// Takes no more commands, and writes what is outstanding.
    pub async fn stop(&self) {
        self.role.stop().await;
        self.backends.stop().await;
    }
}
