//! `tillstream bootstrap --credentials FILE`: the first accounts of an installation.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::application::Application;
use crate::cli::out;
use crate::config::Config;
use crate::serve::CommandLine;
use crate::shop::accounts::{Credentials, create, refuse_held_addresses, refuse_when_there_is_an_admin};

pub(super) async fn run(
    application: &Application,
    config: Config,
    file: &Path,
    domain: &str,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let side = CommandLine::open(application, &config).await?;
    let done = tokio::select! {
        done = bootstrap(&side, file, domain) => done,
        () = shutdown.cancelled() => {
            out::line("interrupted; run it again to complete the accounts");
            Ok(())
        }
    };
    side.stop().await;
    done.map(|()| ExitCode::SUCCESS)
}

async fn bootstrap(side: &CommandLine, file: &Path, domain: &str) -> anyhow::Result<()> {
    refuse_when_there_is_an_admin(&*side.log()).await?;
    // The file is written before the first account, so a run that was cut short goes on with what it says.
    let known = Credentials::read(file).context("nothing was changed")?;
    let complete = known.as_ref().is_some_and(Credentials::is_complete);
    let credentials = Credentials::completed(known, domain);
    let instead = "name another domain with --domain, or other addresses in the file";
    refuse_held_addresses(&side.state, &credentials, instead).await?;
    if !complete {
        credentials.write(file)?;
    }
    let ids = create(&side.state, "system:bootstrap", &credentials).await?;
    for (name, id) in &ids {
        out::line(format!("{:<10} {} {}", name, credentials.login(name)?.email, out::styled(out::QUIET, id)));
    }
    out::line(format!("the passwords are in {}", file.display()));
    Ok(())
}
