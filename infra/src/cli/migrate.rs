//! `tillstream migrate`: prepares the configured backends.

use std::process::ExitCode;

use super::out;
use crate::application::Application;
use crate::backends;
use crate::config::Config;

pub(super) async fn run(application: &Application, config: &Config) -> anyhow::Result<ExitCode> {
    let prepared = backends::migrate(application, config).await?;
    out::line(format!("log      {} ({} shards)", config.log.url, prepared.shards));
    out::line(format!("feed     {}", config.feed.url));
    out::line(format!("read     {}", config.read.url));
    out::line(format!("search   {}", config.search.url));
    for line in prepared.notes {
        out::line(line);
    }
    Ok(ExitCode::SUCCESS)
}
