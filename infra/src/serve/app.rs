//! Every part of one process, opened in order and stopped in the opposite one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use domain::ports::feed::Feed;
use domain::ports::log::{EventLog, LogReader};
use domain::position::{Position, Seen, SyncToken};
use projections::runner::RunnerConfig;
use query_api::{QueryConfig, QueryPorts, QueryState};
use sagas::config::{FulfilmentConfig, WorkerConfig};
use sagas::work::SagaWork;
use sagas::worker::Worker;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::commands::CommandSide;
use super::verifier::LogVerifier;
use crate::config::Config;
use crate::http::health::Health;
use crate::key_files::cursor_key;
use crate::read_side::ReadSide;
use crate::simulator::{Simulator, SimulatorConfig};
use crate::sqlite::saga_work::SqliteSagaWork;

/// How long a stop waits for the projections to see what the owners decided last. What they don't see is applied after the
/// next start.
const CATCH_UP: Duration = Duration::from_secs(5);

/// The running parts of one process, without its listener.
pub struct App {
    /// The whole HTTP API.
    pub router: Router,
    /// The command side.
    pub commands: CommandSide,
    /// Read models and search.
    pub read_side: ReadSide,
    stop_projections: CancellationToken,
    stop_sagas: CancellationToken,
    sagas: Mutex<Option<JoinHandle<()>>>,
}

impl App {
    /// Opens everything that the configuration names.
    ///
    /// # Errors
    /// When a part can't be opened: the reason names it.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let commands = CommandSide::open(config).await?;
        let dir = config.data.dir.as_path();
        let simulated = SimulatorConfig {
            lost_reply: config.payments.lost_reply.0,
            slow_capture: config.payments.slow_capture.0,
        };
        let simulator = Simulator::open(dir, Arc::clone(&commands.state.clock), simulated)?;
        let feed = Arc::clone(&commands.feed) as Arc<dyn Feed>;
        let stop_projections = CancellationToken::new();
        let read_side = ReadSide::start(
            config.read.url.directory(dir),
            Arc::clone(&feed),
            Arc::clone(&commands.log) as Arc<dyn LogReader>,
            Arc::clone(&commands.state.clock),
            RunnerConfig::default(),
            stop_projections.clone(),
        );
        let read_side = read_side.await.context("the projections can't be started")?;

        let work = Arc::new(SqliteSagaWork::new(Arc::clone(&read_side.store))) as Arc<dyn SagaWork>;
        let worker = worker(config, &commands, &simulator);
        let mark = read_side.watermark(sagas::projection::NAME).context("the saga projection doesn't run")?;
        let seen = mark.subscribe();
        let stop_sagas = CancellationToken::new();
        let mut decided = Seen::none(commands.log.store().shards);
        feed.heads().into_iter().for_each(|head| decided.advance(head));
        let run = sagas::worker::run(worker, Arc::clone(&work), seen, decided, stop_sagas.clone());
        let sagas = tokio::spawn(run);

        let ports = QueryPorts {
            read: Arc::clone(&read_side.models) as _,
            keys: Arc::clone(&commands.state.keys),
            feed: Arc::clone(&feed),
            registry: Arc::clone(&commands.registry),
            verifier: Arc::new(LogVerifier(Arc::clone(&commands.log) as Arc<dyn EventLog>)),
        };
        let mut settings = QueryConfig::new(commands.log.store().shards, cursor_key(dir)?);
        settings.wait = config.http.sync_wait.0;
        let query = QueryState::new(ports, settings);
        let health = Health::new(read_side.runners.clone(), feed, work, dir, config.read.max_lag);
        let router = crate::http::router(commands.state.clone(), query, simulator, health);
        Ok(Self { router, commands, read_side, stop_projections, stop_sagas, sagas: Mutex::new(Some(sagas)) })
    }

    /// Ends every part, in order: sagas issue no more commands, owners answer what was accepted, projections see what was
    /// decided. Nothing may call the router any more.
    pub async fn stop(&self) {
        self.stop_sagas.cancel();
        if let Some(task) = self.sagas.lock().await.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the sagas' task failed");
        }
        self.commands.stop().await;
        self.catch_up().await;
        self.stop_projections.cancel();
        self.read_side.stopped().await;
    }

    /// Waits until the projections have seen the log's heads, bounded: one that fails must not hold up the end.
    async fn catch_up(&self) {
        let mut token = SyncToken::default();
        let heads: Vec<Position> = self.commands.feed.heads();
        heads.into_iter().filter(|head| head.n > 0).for_each(|head| token.add(head));
        let marks = self.read_side.runners.iter().flat_map(|runner| runner.watermarks());
        let waits = futures::future::join_all(marks.map(|mark| mark.wait_for(&token, CATCH_UP)));
        for behind in waits.await.into_iter().filter_map(Result::err) {
            tracing::info!(%behind, "a projection goes on after the next start");
        }
    }
}

fn worker(config: &Config, commands: &CommandSide, simulator: &Simulator) -> Worker {
    Worker {
        gateway: Arc::clone(&commands.state.gateway),
        payments: Arc::new(simulator.clone()),
        carrier: Arc::new(simulator.clone()),
        clock: Arc::clone(&commands.state.clock),
        fulfilment: FulfilmentConfig {
            reservation_ttl: config.fulfilment.reservation.0,
            lookups: config.fulfilment.lookups,
            lookup_backoff: config.fulfilment.lookup_backoff.0,
            lookup_backoff_max: config.fulfilment.lookup_backoff_max.0,
            provider_timeout: config.fulfilment.provider_timeout.0,
        },
        config: WorkerConfig::default(),
    }
}
