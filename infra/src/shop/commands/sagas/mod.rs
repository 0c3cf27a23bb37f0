//! `tillstream sagas list|show|retry|resolve`: the sagas of orders that don't go on by themselves, and the person who ends them.
//!
//! Beside a running server of the embedded backends its HTTP API is asked, with an account that may; else the backends are.

mod local;
mod remote;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::local::Local;
use self::remote::Remote;
use crate::application::Application;
use crate::backends::beside::expect_store;
use crate::cli::out;
use crate::config::{Config, Family};
use crate::data_dir::{DataDir, DataDirError};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Lists sagas in the order in which they began
    List {
        /// Only with this status: stuck, running, waiting, compensating or ended
        #[arg(long)]
        status: Option<String>,
        /// Only those that have had it for so long: 90s, 15m, 2h, 1d
        #[arg(long, value_name = "AGE")]
        older_than: Option<String>,
        /// Only with this reason
        #[arg(long)]
        reason: Option<String>,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        who: Who,
    },
    /// Shows the saga of an order
    Show {
        /// The order
        order: Uuid,
        #[command(flatten)]
        who: Who,
    },
    /// Has tried again what can't go on by itself
    Retry {
        /// The order
        order: Uuid,
        #[command(flatten)]
        who: Who,
    },
    /// Says what became of a step that needs somebody, or whose provider or carrier is away
    Resolve {
        /// The order
        order: Uuid,
        /// The step, as `show` names it
        #[arg(long)]
        step: String,
        /// done or refused
        #[arg(long)]
        outcome: String,
        /// Why you say so; kept for ever
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        who: Who,
    },
}

/// Who asks a running server.
#[derive(Debug, Args)]
pub struct Who {
    /// Credentials file, to ask a server that runs [default: the demo's, where there is one]
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// The account in it
    #[arg(long, value_name = "NAME", default_value = "operator")]
    account: String,
}

impl What {
    fn who(&self) -> &Who {
        match self {
            Self::List { who, .. }
            | Self::Show { who, .. }
            | Self::Retry { who, .. }
            | Self::Resolve { who, .. } => who,
        }
    }
}

/// Which sagas.
#[derive(Debug, Default)]
struct Asked<'a> {
    status: Option<&'a str>,
    older_than: Option<&'a str>,
    reason: Option<&'a str>,
}

/// What a person says of an order's saga.
#[derive(Debug)]
enum Word<'a> {
    Retry,
    Resolve { step: &'a str, outcome: &'a str, reason: &'a str },
}

/// The two ways to the sagas.
enum Way<'a> {
    Local(Local<'a>),
    Remote(Remote),
}

impl Way<'_> {
    async fn list(&self, asked: &Asked<'_>, each: &mut dyn FnMut(&Value)) -> anyhow::Result<()> {
        match self {
            Self::Local(local) => local.list(asked, each).await,
            Self::Remote(remote) => remote.list(asked, each).await,
        }
    }

    async fn show(&self, order: Uuid) -> anyhow::Result<Value> {
        match self {
            Self::Local(local) => local.show(order).await,
            Self::Remote(remote) => remote.show(order).await,
        }
    }

    async fn say(&self, order: Uuid, word: &Word<'_>) -> anyhow::Result<()> {
        match self {
            Self::Local(local) => local.say(order, word).await,
            Self::Remote(remote) => remote.say(order, word).await,
        }
    }
}

pub(super) async fn run(
    application: &Application,
    config: &Config,
    what: What,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let way = if is_running(config)? {
        Way::Remote(Remote::sign_in(config, what.who()).await?)
    } else {
        Way::Local(Local { application, config })
    };
    tokio::select! {
        done = act(&way, &what) => done?,
        () = shutdown.cancelled() => out::line("interrupted"),
    }
    Ok(ExitCode::SUCCESS)
}

async fn act(way: &Way<'_>, what: &What) -> anyhow::Result<()> {
    match what {
        What::List { status, older_than, reason, json, .. } => {
            let asked = Asked {
                status: status.as_deref(),
                older_than: older_than.as_deref(),
                reason: reason.as_deref(),
            };
            way.list(&asked, &mut |saga| if *json { out::line(saga) } else { print(saga) }).await
        }
        What::Show { order, .. } => {
            for (name, value) in way.show(*order).await?.as_object().into_iter().flatten() {
                out::line(format!("{name:<12} {}", word(value)));
            }
            Ok(())
        }
        What::Retry { order, .. } => {
            way.say(*order, &Word::Retry).await?;
            out::line(format!("{order}: it is tried again"));
            Ok(())
        }
        What::Resolve { order, step, outcome, reason, .. } => {
            way.say(*order, &Word::Resolve { step, outcome, reason }).await?;
            out::line(format!("{order}: {step} is {outcome}"));
            Ok(())
        }
    }
}

/// Whether a server holds the embedded backends' directories.
fn is_running(config: &Config) -> anyhow::Result<bool> {
    let Family::Embedded(places) = config.family()? else { return Ok(false) };
    expect_store(places)?;
    match DataDir::open_all(&places.directories()) {
        Ok(_) => Ok(false),
        Err(DataDirError::InUse { .. }) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// A value as a word; nothing for null.
fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn print(saga: &Value) {
    let status = word(&saga["status"]);
    let style = if status == "stuck" { out::BAD } else { out::NAME };
    out::line(format!(
        "{}  {}  since {}  {:<18} {:<22} attempt {}",
        word(&saga["order_id"]),
        out::styled(style, format!("{status:<12}")),
        word(&saga["since"]),
        word(&saga["reason"]),
        word(&saga["step"]),
        word(&saga["attempts"]),
    ));
}
