//! The program's own logs: on standard error, for people or as JSON, with the correlation id of the request's span.

use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::config::LogFormat;
use crate::config::sections::Logging;

/// Starts logging for the whole process. A second call changes nothing.
///
/// # Errors
/// When `logging.level` is no filter.
pub fn start(config: &Logging) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.level)
        .map_err(|e| anyhow::anyhow!("logging.level `{}` is not a log filter: {e}", config.level))?
        // tantivy tells of every segment at info.
        .add_directive("tantivy=warn".parse()?)
        // And the driver of every connection.
        .add_directive("scylla=warn".parse()?);
    let human = (config.format == LogFormat::Human)
        .then(|| fmt::layer().with_writer(std::io::stderr).with_target(false).compact());
    let json = (config.format == LogFormat::Json).then(|| {
        fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(std::io::stderr)
    });
    let wanted = filter_fn(|event| !is_of_servers(event));
    let started = tracing_subscriber::registry().with(filter).with(wanted).with(human).with(json).try_init();
    if started.is_err() {
        tracing::debug!("logging had been started before");
    }
    Ok(())
}

/// Whether it repeats what Cassandra writes into its own log. At its defaults it warns of every batch of more than 5 KiB, which are most of
/// those that hold derived rows.
fn is_of_servers(event: &Metadata<'_>) -> bool {
    event.target().starts_with("scylla::") && event.fields().field("warning").is_some()
}
