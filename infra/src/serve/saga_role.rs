//! The role `sagas`: runs the application's process managers.

use std::sync::Arc;

use ::sagas::engine::worker::{self, Source};
use anyhow::Context as _;
use axum::Router;
use domain::ports::clock::Clock;
use domain::ports::gateway::CommandGateway;
use metrics::{Recorder, with_local_recorder};
use projections::engine::sagas;
use projections::engine::watermark::Watermark;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::application::{Managing, ProcessManagers};
use crate::backends::Backends;
use crate::config::Config;

/// The running worker of this process.
pub struct SagaRole {
    /// Its operations.
    pub router: Router,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl SagaRole {
    /// Opens what the process managers use, and starts the worker. Metrics go to the recorder.
    ///
    /// # Errors
    /// When a part can't be opened; the reason names it.
    pub async fn start(
        processes: &dyn ProcessManagers,
        config: &Config,
        backends: &dyn Backends,
        gateway: Arc<dyn CommandGateway>,
        marks: &[Watermark],
        clock: Arc<dyn Clock>,
        recorder: &(dyn Recorder + Sync),
    ) -> anyhow::Result<Self> {
        let Managing { worker, router } = processes.open(config, gateway, clock)?;
        let mark = marks.iter().find(|mark| mark.projection() == sagas::NAME);
        let seen = mark.context("the saga projection doesn't run")?.subscribe();
        let source = Source { feed: backends.feed().await?, log: backends.log() };
        let (work, stop) = (backends.saga_work().await?, CancellationToken::new());
        let working = with_local_recorder(recorder, || worker::run(worker, work, source, seen, stop.clone()));
        let task = tokio::spawn(working);
        Ok(Self { router, stop, task: Mutex::new(Some(task)) })
    }

    /// Issues no more commands, and lets what is on its way come to an end.
    pub async fn stop(&self) {
        self.stop.cancel();
        if let Some(task) = self.task.lock().await.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the sagas' task failed");
        }
    }
}
