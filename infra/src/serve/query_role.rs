//! The role `query-api`: answers queries from the read models.

use std::sync::Arc;

use domain::aggregate::Registry;
use domain::ports::clock::SystemClock;
use projections::engine::search::TextSearch;
use projections::engine::watermark::Watermark;
use query_api::{QueryConfig, QueryPorts, QueryState};

use super::verifier::LogVerifier;
use crate::backends::Backends;
use crate::config::Config;
use crate::verify::jobs::Verifications;

/// Opens what queries are answered from; they wait for the watermarks given.
///
/// # Errors
/// When a part can't be opened; the reason names it.
pub(super) async fn open(
    config: &Config,
    backends: &dyn Backends,
    registry: Arc<Registry>,
    marks: Vec<Watermark>,
) -> anyhow::Result<(QueryState, Arc<dyn TextSearch>)> {
    let log = backends.log();
    let mut settings = QueryConfig::new(log.store().shards, backends.cursor_key().await?);
    settings.wait = config.http.sync_wait.0;
    settings.stuck_after = config.fulfilment.stuck_after.0;
    let ports = QueryPorts {
        read: backends.read_models(marks).await?,
        keys: backends.keys().await?,
        log: log.clone(),
        registry,
        verifier: Arc::new(LogVerifier(Verifications::new(log, Arc::new(SystemClock)))),
    };
    Ok((QueryState::new(ports, settings), backends.search().await?))
}
