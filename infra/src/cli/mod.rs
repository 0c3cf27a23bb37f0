//! The command line: one file per command of the platform; an application adds its own.

mod config;
mod conservation;
mod frame;
mod history;
mod migrate;
mod openapi;
pub(crate) mod out;
mod rebuild;
mod redrive;
mod serve;
mod signals;
mod store;
mod verify;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::application::Application;
use crate::config::{Config, ConfigError, Layers};
use crate::telemetry;

/// Event sourcing in one program: commands, an append-only log, projections, sagas and queries
#[derive(Debug, Parser)]
#[command(name = "tillstream", version, propagate_version = true)]
struct Cli<Own: OwnCommands> {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command<Own>,
}

/// What every command takes.
#[derive(Debug, Args)]
struct Common {
    /// Configuration file [default: tillstream.toml when it exists]
    #[arg(long, global = true, env = "TILLSTREAM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory [default: tillstream-data; for demo: demo-data]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Sets any configuration key, as `log.shards=4`; `tillstream config` lists them
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
    /// Format of the program's own logs: human or json
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Level or filter of the program's own logs
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[derive(Debug, Subcommand)]
enum Command<Own: OwnCommands> {
    #[command(flatten)]
    Own(Own),
    /// Serves what the configuration names, with no demo data
    Serve {
        /// Address to serve on [default: 127.0.0.1:8080]
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
        /// Runs only this role; repeat for several [default: every role]
        #[arg(long, value_name = "ROLE")]
        role: Vec<String>,
    },
    /// Prepares the configured backends
    Migrate,
    /// Checks the hash chain of the whole log, then the derived rows against it; exit status 1 at a fault
    Verify,
    /// Compares every copy of the events with the log; exit status 1 at the first difference
    Conservation,
    /// Rebuilds projections from the log beside the live ones, compares digests, and swaps
    Rebuild {
        /// Projections to rebuild [default: all]
        names: Vec<String>,
        /// Puts the rows back that were live before the last rebuild, which are then brought up to date; names must be given
        #[arg(long, requires = "names")]
        rollback: bool,
    },
    /// Applies the events that a projection parked, in order, after the cause was fixed
    Redrive {
        /// The projection
        projection: String,
    },
    /// Prints a stream event by event
    History {
        /// The type: order, product, inventory, payment, shipment, user, …
        kind: String,
        /// The id
        id: String,
        /// One JSON event per line
        #[arg(long)]
        json: bool,
    },
    /// Prints a frame as it is stored, decoded
    Frame {
        /// The shard, from 0
        shard: u16,
        /// The frame's number, from 1
        frame: u64,
    },
    /// Prints the reference of every configuration key
    #[command(after_long_help = config::long_help())]
    Config {
        #[command(subcommand)]
        what: Option<config::What>,
    },
    /// Prints the OpenAPI document
    Openapi,
}

/// Commands of the command line that an application has beside the platform's.
pub trait OwnCommands: Subcommand + fmt::Debug + Send + 'static {
    /// Defaults that differ from the general ones, as keys of the configuration and values.
    fn defaults(&self) -> Vec<(&'static str, String)>;

    /// What its flags say, likewise.
    fn settings(&self) -> Vec<(&'static str, String)>;

    /// Runs it, until it is done or told to stop.
    ///
    /// # Errors
    /// What the user is told before the process ends with status 2.
    fn run(
        self,
        application: &Application,
        config: Config,
        shutdown: CancellationToken,
    ) -> impl Future<Output = anyhow::Result<ExitCode>>;
}

/// An application that has no commands of its own.
#[derive(Debug, Subcommand)]
pub enum NoCommands {}

impl OwnCommands for NoCommands {
    fn defaults(&self) -> Vec<(&'static str, String)> {
        match *self {}
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        match *self {}
    }

    async fn run(self, _: &Application, _: Config, _: CancellationToken) -> anyhow::Result<ExitCode> {
        match self {}
    }
}

/// The defaults of commands that speak through their results.
pub(crate) fn quiet() -> Vec<(&'static str, String)> {
    vec![("logging.level", "warn".to_owned())]
}

impl<Own: OwnCommands> Command<Own> {
    /// Defaults that differ from the general ones.
    fn defaults(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Own(own) => own.defaults(),
            Self::Serve { .. } => Vec::new(),
            _ => quiet(),
        }
    }
}

/// Runs the command line of this process over an application and its own commands.
#[must_use]
pub fn run<Own: OwnCommands>(application: fn(&Config) -> Application) -> ExitCode {
    make_files_private();
    let cli = match Cli::<Own>::try_parse() {
        Ok(cli) => cli,
        // Help and the version are results, which must come out whole too.
        Err(said) => return out::said(&said),
    };
    let code = match start(cli, application) {
        Ok(code) => code,
        Err(error) => {
            out::error(format!("{error:#}"));
            ExitCode::from(2)
        }
    };
    out::ended(code)
}

/// What a process writes is for its user alone, whatever directory it is told to write into: keys, passwords, and the data of others.
fn make_files_private() {
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// Threads for what blocks: files, hashing, drivers. A thread's heap keeps what it allocated and others freed until it allocates again
/// or ends: measured, a third of a gigabyte after a thousand orders at once. So they are few, and idle ones end soon.
const BLOCKING_THREADS: usize = 64;
const BLOCKING_IDLE: Duration = Duration::from_secs(1);

fn start<Own: OwnCommands>(
    cli: Cli<Own>,
    application: fn(&Config) -> Application,
) -> anyhow::Result<ExitCode> {
    let mut layers = Layers::of_process(cli.common.config.clone(), flags(&cli)?)?;
    layers.defaults = cli.command.defaults();
    let config = layers.load()?;
    telemetry::start(&config.logging)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_IDLE)
        .enable_all()
        .build()?;
    let code = runtime.block_on(async {
        let shutdown = signals::shutdown()?;
        dispatch(cli.command, &application(&config), config, shutdown).await
    });
    // A blocking read that nobody waits for any more must not hold the end up.
    runtime.shutdown_timeout(Duration::from_secs(5));
    code
}

fn flags<Own: OwnCommands>(cli: &Cli<Own>) -> Result<Vec<(String, String)>, ConfigError> {
    let mut flags = cli.common.set.clone();
    let mut set = |key: &str, value: Option<String>| flags.extend(value.map(|value| (key.to_owned(), value)));
    if let Some(dir) = &cli.common.data_dir {
        let not_text = || ConfigError::NotText {
            key: "data.dir".to_owned(),
            shown: dir.display().to_string(),
            origin: "the command line".to_owned(),
        };
        set("data.dir", Some(dir.to_str().ok_or_else(not_text)?.to_owned()));
    }
    set("logging.format", cli.common.log_format.clone());
    set("logging.level", cli.common.log_level.clone());
    match &cli.command {
        Command::Serve { listen, role } => {
            set("http.listen", listen.map(|address| address.to_string()));
            set("roles.run", (!role.is_empty()).then(|| role.join(",")));
        }
        Command::Own(own) => own.settings().into_iter().for_each(|(key, value)| set(key, Some(value))),
        _ => {}
    }
    Ok(flags)
}

async fn dispatch<Own: OwnCommands>(
    command: Command<Own>,
    application: &Application,
    config: Config,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Own(own) => Box::pin(own.run(application, config, shutdown)).await,
        Command::Serve { .. } => Box::pin(serve::run(application, config, shutdown)).await,
        Command::Migrate => Box::pin(migrate::run(application, &config)).await,
        Command::Verify => Box::pin(verify::run(&config, shutdown)).await,
        Command::Conservation => Box::pin(conservation::run(application, &config, shutdown)).await,
        Command::Rebuild { names, rollback: false } => {
            Box::pin(rebuild::run(application, &config, &names, shutdown)).await
        }
        Command::Rebuild { names, rollback: true } => {
            Box::pin(rebuild::rollback(application, &config, &names)).await
        }
        Command::Redrive { projection } => {
            Box::pin(redrive::run(application, &config, &projection, shutdown)).await
        }
        Command::History { kind, id, json } => {
            Box::pin(history::run(&config, &kind, &id, json, shutdown)).await
        }
        Command::Frame { shard, frame } => Box::pin(frame::run(&config, shard, frame)).await,
        Command::Config { what } => Ok(config::run(&config, what)),
        Command::Openapi => openapi::run(application),
    }
}
