//! `tillstream serve`.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use super::out;
use crate::application::Application;
use crate::config::Config;
use crate::serve::{bind, start};

pub(super) async fn run(
    application: &Application,
    config: Config,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    application.check(&config)?;
    let listener = bind(config.http.listen).await?;
    let running = start(application, &config, listener, shutdown).await?;
    out::line(format!("tillstream serves http://{}", running.address));
    // Without its scheme, so that nobody takes it for the shop's address.
    if let Some(admin) = running.admin {
        out::line(format!("  metrics {admin}, with /metrics and /health"));
    }
    let roles: Vec<String> = config.running().iter().map(ToString::to_string).collect();
    for (what, value) in [
        ("roles", roles.join(", ")),
        ("log", config.log.url.to_string()),
        ("feed", config.feed.url.to_string()),
        ("read", config.read.url.to_string()),
        ("search", config.search.url.to_string()),
    ] {
        out::line(format!("  {what:<7} {value}"));
    }
    running.ended().await?;
    Ok(ExitCode::SUCCESS)
}
