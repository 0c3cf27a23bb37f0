//! `tillstream bootstrap --credentials FILE`: the first accounts of an installation.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::out;
use crate::accounts::{Credentials, create, refuse_when_there_is_an_admin};
use crate::config::Config;
use crate::serve::CommandLine;

pub(super) async fn run(
    config: Config,
    file: &Path,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let side = CommandLine::open(&config).await?;
    let done = tokio::select! {
        done = bootstrap(&side, file) => done,
        () = shutdown.cancelled() => {
            out::line("interrupted; run it again to complete the accounts");
            Ok(())
        }
    };
    side.stop().await;
    done.map(|()| ExitCode::SUCCESS)
}

async fn bootstrap(side: &CommandLine, file: &Path) -> anyhow::Result<()> {
    refuse_when_there_is_an_admin(&side.state).await?;
    let credentials = Credentials::read_or_make(file).context("nothing was changed")?;
    let ids = create(&side.state, "system:bootstrap", &credentials).await?;
    for (name, id) in &ids {
        out::line(format!("{:<10} {} {}", name, credentials.login(name)?.email, out::styled(out::QUIET, id)));
    }
    out::line(format!("the passwords are in {}", file.display()));
    Ok(())
}
