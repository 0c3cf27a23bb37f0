//! The role `projections`: keeps read models and search in step with the feed.

use std::sync::Arc;

use anyhow::Context as _;
use domain::ports::clock::Clock;
use projections::engine::runner::{Runner, RunnerConfig, RunnerParts};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::backends::Backends;
use crate::config::Config;
use crate::conservation::{Conservation, Watch};
use crate::rebuild::renewal::keep_trying;

/// The running projections of this process.
pub struct ProjectionRole {
    /// One for each store.
    pub runners: Vec<Arc<Runner>>,
    /// The comparison of the copies, unless it is turned off.
    pub conservation: Option<Watch>,
    stop: CancellationToken,
    renewal: Mutex<Option<JoinHandle<()>>>,
}

impl ProjectionRole {
    /// Starts a runner for every store of the read side.
    ///
    /// # Errors
    /// When a store can't be opened or prepared.
    pub async fn start(
        config: &Config,
        backends: &dyn Backends,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let feed = backends.feed().await?;
        let stop = CancellationToken::new();
        let mut runners = Vec::new();
        let groups = backends.groups().await?;
        for group in groups.clone() {
            let runner = Runner::start(RunnerParts {
                group: group.name,
                store: group.store,
                projections: group.projections,
                feed: Arc::clone(&feed),
                log: backends.log(),
                clock: Arc::clone(&clock),
                config: RunnerConfig { apply_every: group.apply_every, ..RunnerConfig::default() },
                shutdown: stop.clone(),
            });
            let name = group.name;
            runners.push(Arc::new(
                runner.await.with_context(|| format!("the projections of {name} can't be started"))?,
            ));
        }
        // In the background: a start never waits for rows that are filled, or for others' transactions.
        let renewal = tokio::spawn(keep_trying(backends.renewal().await?, stop.clone()));
        let every = config.conservation.every.0;
        let conservation = match every.is_zero() {
            true => None,
            false => {
                let conservation = Conservation::open(backends, groups).await?;
                Some(Watch::start(conservation, every, clock, stop.clone()))
            }
        };
        Ok(Self { runners, conservation, stop, renewal: Mutex::new(Some(renewal)) })
    }

    /// Ends the runners; what they applied is published.
    pub async fn stop(&self) {
        self.stop.cancel();
        if let Some(renewal) = self.renewal.lock().await.take()
            && let Err(error) = renewal.await
        {
            tracing::error!(%error, "replacing what is outdated failed");
        }
        for runner in &self.runners {
            runner.stopped().await;
        }
    }
}
