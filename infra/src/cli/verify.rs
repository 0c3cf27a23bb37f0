//! `tillstream verify`: the hash chain of the whole log, then the derived rows against it.

use std::process::ExitCode;

use domain::position::Position;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::out;
use super::store::{Opened, for_reading};
use crate::config::Config;
use crate::verify::{VerifyReport, verify_store};

pub(super) async fn run(config: &Config, shutdown: CancellationToken) -> anyhow::Result<ExitCode> {
    let store = match for_reading(config).await? {
        Opened::Store(store) => store,
        Opened::Fault(position, reason) => return Ok(fault(position, &reason)),
    };
    let progress = ProgressBar::new_spinner();
    progress.set_style(ProgressStyle::with_template("{spinner} {msg} ({elapsed})")?);
    let mut events = 0;
    let mut last = Position { shard: domain::position::Shard(0), n: 0 };
    let verified = verify_store(&*store.log, |shard, position| {
        if last.shard != shard {
            events += last.n;
        }
        last = position;
        progress.set_message(format!("shard {shard}: {} events verified", events + position.n));
        progress.tick();
    });
    let report = tokio::select! {
        report = verified => report?,
        () = shutdown.cancelled() => {
            out::line("interrupted; nothing was changed");
            return Ok(ExitCode::SUCCESS);
        }
    };
    progress.finish_and_clear();
    Ok(print(&report))
}

fn print(report: &VerifyReport) -> ExitCode {
    for shard in &report.shards {
        out::line(format!(
            "shard {:>4}  head {:<12} {}",
            shard.shard,
            shard.head.to_string(),
            out::styled(out::QUIET, hex::encode(shard.hash))
        ));
    }
    match (report.first_fault, &report.fault_reason) {
        (Some(position), reason) => fault(position, reason.as_deref().unwrap_or("unknown")),
        (None, _) => {
            let events: u64 = report.shards.iter().map(|shard| shard.head.n).sum();
            let verdict = out::styled(out::GOOD, "ok");
            out::line(format!(
                "{verdict}: {events} events hold together, and the derived rows agree with them"
            ));
            ExitCode::SUCCESS
        }
    }
}

fn fault(position: Position, reason: &str) -> ExitCode {
    out::line(format!("{} {position}", out::styled(out::BAD, "first fault")));
    out::line(reason);
    ExitCode::FAILURE
}
