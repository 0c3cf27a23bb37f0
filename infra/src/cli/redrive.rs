//! `tillstream redrive <projection>`: applies what a projection parked, in order.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use super::out;
use crate::config::Config;
use crate::serve::App;

pub(super) async fn run(
    config: &Config,
    projection: &str,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let app = App::open(config).await?;
    let done = tokio::select! {
        done = app.read_side.redrive(projection) => Some(done),
        () = shutdown.cancelled() => None,
    };
    app.stop().await;
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
