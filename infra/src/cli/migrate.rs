//! `tillstream migrate`: prepares the configured backends.

use std::process::ExitCode;

use super::out;
use crate::config::Config;
use crate::serve::App;

pub(super) async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    // Opening makes what is missing; what is there is left as it is.
    let app = App::open(config).await?;
    let shards = app.commands.state.gateway.shards();
    app.stop().await;
    out::line(format!("log      {} ({shards} shards)", config.log.url));
    out::line(format!("feed     {}", config.feed.url));
    out::line(format!("read     {}", config.read.url));
    out::line(format!("search   {}", config.search.url));
    out::line(format!("prepared in {}", config.data.dir.display()));
    Ok(ExitCode::SUCCESS)
}
