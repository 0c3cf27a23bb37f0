//! What the shop's command line has beside the platform's.

mod bootstrap;
mod demo;
mod sagas;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use tokio_util::sync::CancellationToken;

use crate::application::Application;
use crate::cli::{OwnCommands, quiet};
use crate::config::Config;

/// The shop's own commands.
#[derive(Debug, Subcommand)]
pub enum ShopCommands {
    /// Runs a small shop: sets up a catalogue and accounts, plays three orders, and goes on serving
    Demo {
        /// Address to serve on [default: 127.0.0.1:8080]
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
    },
    /// Creates the accounts admin, warehouse, analyst, auditor, support, customer, operator and service with made-up passwords
    Bootstrap {
        /// File that the e-mails and passwords are written to, readable by its owner only
        #[arg(long, value_name = "FILE")]
        credentials: PathBuf,
        /// What the accounts' e-mail addresses end in
        #[arg(long, value_name = "DOMAIN", default_value = super::accounts::DOMAIN)]
        domain: String,
    },
    /// Sagas of orders that don't go on by themselves: lists and shows them, has them tried again, or ends a step by hand
    Sagas {
        /// What to do
        #[command(subcommand)]
        what: sagas::What,
    },
}

impl OwnCommands for ShopCommands {
    fn defaults(&self) -> Vec<(&'static str, String)> {
        let mut defaults = quiet();
        if let Self::Demo { .. } = self {
            let simulator = || "simulator:".to_owned();
            defaults.extend([
                ("data.dir", "demo-data".to_owned()),
                ("payments.url", simulator()),
                ("carrier.url", simulator()),
                ("http.admin_listen", "off".to_owned()),
            ]);
        }
        defaults
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Demo { listen: Some(address) } => vec![("http.listen", address.to_string())],
            _ => Vec::new(),
        }
    }

    async fn run(
        self,
        application: &Application,
        config: Config,
        shutdown: CancellationToken,
    ) -> anyhow::Result<ExitCode> {
        match self {
            Self::Demo { .. } => Box::pin(demo::run(application, config, shutdown)).await,
            Self::Bootstrap { credentials, domain } => {
                Box::pin(bootstrap::run(application, config, &credentials, &domain, shutdown)).await
            }
            Self::Sagas { what } => Box::pin(sagas::run(application, &config, what, shutdown)).await,
        }
    }
}
