//! `tillstream redrive <projection>`: applies what a projection parked, in order.

use std::process::ExitCode;

use anyhow::bail;
use projections::engine::redrive::{RedriveReport, redrive};
use tokio_util::sync::CancellationToken;

use super::out;
use crate::application::Application;
use crate::backends::{self, Backends};
use crate::config::Config;

pub(super) async fn run(
    application: &Application,
    config: &Config,
    projection: &str,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let backends = backends::open_existing(application, config).await?;
    let done = tokio::select! {
        done = apply(&*backends, projection) => Some(done),
        () = shutdown.cancelled() => None,
    };
    backends.stop().await;
    let Some(report) = done.transpose()? else {
        out::line("interrupted; what was applied stays applied, run it again for the rest");
        return Ok(ExitCode::SUCCESS);
    };
    out::line(format!(
        "{projection}: {} events of {} parked streams applied",
        report.applied, report.streams
    ));
    for still in &report.still_parked {
        let stream = format!("{} {}", still.stream.kind(), still.stream.id());
        out::line(format!(
            "{} {stream} at {}: {}",
            out::styled(out::WARN, "still parked"),
            still.position,
            still.reason
        ));
    }
    Ok(if report.still_parked.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A projection that runs elsewhere meanwhile meets letters that are gone, and loads again.
async fn apply(backends: &dyn Backends, name: &str) -> anyhow::Result<RedriveReport> {
    let log = backends.log().store();
    for group in backends.groups().await? {
        if let Some(projection) = group.projections.iter().find(|one| one.name() == name) {
            // What was never made is not made here.
            if group.store.peek(projection.name()).await?.seen.positions().next().is_none() {
                bail!("{name} was never prepared here: check the settings, or run `tillstream migrate`");
            }
            group.store.prepare(&group.projections, log).await?;
            let report = redrive(&*group.store, &**projection).await?;
            group.store.publish().await?;
            return Ok(report);
        }
    }
    bail!("there is no projection {name}")
}
