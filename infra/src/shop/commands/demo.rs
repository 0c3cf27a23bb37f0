//! `tillstream demo`: a small shop that has something to show.

use std::process::ExitCode;

use anyhow::bail;
use tokio_util::sync::CancellationToken;

use crate::application::Application;
use crate::cli::out;
use crate::config::{Config, Family};
use crate::serve::{bind, start_when};
use crate::shop::demo;

pub(super) async fn run(
    application: &Application,
    config: Config,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    application.check(&config)?;
    if let Family::Distributed(_) = config.family()? {
        bail!(
            "the demo keeps everything in its data directory, and the settings name engines (log.url and others, perhaps from \
             TILLSTREAM_LOG_URL): unset them, or use `bootstrap` and `serve`"
        );
    }
    // First, so that a taken address is told before anything is made.
    let listener = bind(config.http.listen).await?;
    let dir = &config.data.dir;
    let mut accounts = None;
    let running = start_when(application, &config, listener, shutdown.clone(), async |app| {
        tokio::select! {
            made = demo::accounts(app, dir) => accounts = made?,
            () = shutdown.cancelled() => {}
        }
        Ok(())
    });
    let running = running.await?;
    let prepared = tokio::select! {
        prepared = demo::prepare(&running.app, dir, accounts) => Some(prepared),
        () = shutdown.cancelled() => None,
    };
    match prepared {
        Some(Ok(())) => demo::invite(running.address, dir),
        // A server that is told to stop refuses what the set-up asks of it next: that is the stop, no failure.
        Some(Err(error)) if !shutdown.is_cancelled() => {
            shutdown.cancel();
            running.ended().await?;
            return Err(error);
        }
        Some(Err(_)) | None => out::line("interrupted; the next start goes on where this one stopped"),
    }
    running.ended().await?;
    Ok(ExitCode::SUCCESS)
}
