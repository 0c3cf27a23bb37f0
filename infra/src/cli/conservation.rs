//! `tillstream conservation`: every copy of the events against the log.

use std::process::ExitCode;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::out;
use crate::application::Application;
use crate::backends::{self, Backends};
use crate::config::Config;
use crate::conservation::{Conservation, Depth, ShardReport};

/// How long copies that are behind are waited for.
const WITHIN: Duration = Duration::from_secs(30);

pub(super) async fn run(
    application: &Application,
    config: &Config,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let backends = backends::open_existing(application, config).await?;
    let checked = tokio::select! {
        checked = check(&*backends) => Some(checked),
        () = shutdown.cancelled() => None,
    };
    backends.stop().await;
    match checked.transpose()? {
        Some(shards) => Ok(print(&shards)),
        None => {
            out::line("interrupted; nothing was changed");
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn check(backends: &dyn Backends) -> anyhow::Result<Vec<ShardReport>> {
    // Nothing is prepared: what is missing or of another version shall be told, not made anew.
    let conservation = Conservation::open(backends, backends.groups().await?).await?;
    Ok(conservation.check(Depth::Everything, WITHIN).await?)
}

fn print(shards: &[ShardReport]) -> ExitCode {
    for shard in shards {
        let verdict = match &shard.difference {
            None => out::styled(out::GOOD, "the same everywhere"),
            Some(found) => out::styled(out::BAD, format!("{} differs at {}", found.copy, found.position)),
        };
        out::line(format!(
            "shard {:>4}  head {:<12} {verdict}",
            shard.head.shard.to_string(),
            shard.head.to_string()
        ));
    }
    match shards.iter().find_map(|shard| shard.difference.as_ref()) {
        Some(found) => {
            out::line(format!("{} {}", out::styled(out::BAD, "first difference"), found.position));
            out::line(format!("{}: {}", found.copy, found.reason));
            ExitCode::FAILURE
        }
        None => {
            let events: u64 = shards.iter().map(|shard| shard.head.n).sum();
            out::line(format!("{}: {events} events are in every copy", out::styled(out::GOOD, "ok")));
            ExitCode::SUCCESS
        }
    }
}
