//! `tillstream serve`.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use super::out;
use crate::config::Config;
use crate::serve::{bind, start};

pub(super) async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<ExitCode> {
    config.check()?;
    let listener = bind(config.http.listen).await?;
    let running = start(&config, listener, shutdown).await?;
    out::line(format!("tillstream serves http://{}", running.address));
    running.ended().await?;
    Ok(ExitCode::SUCCESS)
}
