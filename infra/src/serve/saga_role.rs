//! The role `sagas`: drives orders, with the payment provider and the carrier.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use domain::ports::clock::Clock;
use domain::ports::gateway::CommandGateway;
use projections::engine::watermark::Watermark;
use sagas::Shop;
use sagas::config::{Capacity, FulfilmentConfig};
use sagas::engine::worker::{self, Source, WorkerConfig};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::backends::Backends;
use crate::config::{Config, Directory, Family};
use crate::simulator::{Simulator, SimulatorConfig};

/// The running worker of this process.
pub struct SagaRole {
    /// The payment provider.
    pub payments: Simulator,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl SagaRole {
    /// Opens the provider and the carrier, and starts the worker.
    ///
    /// # Errors
    /// When a part can't be opened; the reason names it.
    pub async fn start(
        config: &Config,
        backends: &dyn Backends,
        gateway: Arc<dyn CommandGateway>,
        marks: &[Watermark],
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let own = |directory: &Directory| directory.named().is_none();
        if matches!(config.family(), Ok(Family::Distributed(_)))
            && config.payments.url.directory().is_some_and(own)
        {
            tracing::warn!(
                "the simulated provider keeps its books in data.dir: before a second process with the role sagas starts, name a \
                 directory that both share in payments.url and carrier.url, or it may charge again"
            );
        }
        for (key, directory) in config.simulators() {
            if directory.is_some() {
                tracing::warn!("{key} names the built-in simulator: no money and no parcel moves");
            }
        }
        let (payments, carrier) = simulators(config, &clock)?;
        let shop = Shop {
            gateway,
            payments: Arc::new(payments.clone()),
            carrier: Arc::new(carrier),
            fulfilment: fulfilment(config),
            capacity: Capacity::default(),
        };
        let mark = marks.iter().find(|mark| mark.projection() == sagas::projection::NAME);
        let seen = mark.context("the saga projection doesn't run")?.subscribe();
        let source = Source { feed: backends.feed().await?, log: backends.log() };
        let (work, stop) = (backends.saga_work().await?, CancellationToken::new());
        let task = tokio::spawn(worker::run(
            shop.worker(clock, WorkerConfig::default()),
            work,
            source,
            seen,
            stop.clone(),
        ));
        Ok(Self { payments, stop, task: Mutex::new(Some(task)) })
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

/// How order fulfilment deals with time; those who decide it need it as well as the worker.
pub(super) fn fulfilment(config: &Config) -> FulfilmentConfig {
    FulfilmentConfig {
        reservation_ttl: config.fulfilment.reservation.0,
        lookups: config.fulfilment.lookups,
        lookup_backoff: config.fulfilment.lookup_backoff.0,
        lookup_backoff_max: config.fulfilment.lookup_backoff_max.0,
        provider_timeout: config.fulfilment.provider_timeout.0,
        charge_retries: FulfilmentConfig::default().charge_retries,
        booking: config.fulfilment.booking.0,
        patience: config.fulfilment.patience.0,
    }
}

/// The provider and the carrier: one set of books where both are in one directory.
fn simulators(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<(Simulator, Simulator)> {
    let simulated = SimulatorConfig {
        lost_reply: config.payments.lost_reply.0,
        slow_capture: config.payments.slow_capture.0,
    };
    let data_dir = config.data.dir.as_path();
    let [payments_dir, carrier_dir] = config.simulators().map(|(key, directory)| {
        directory.map(|directory| directory.or(data_dir)).with_context(|| format!("{key} isn't set"))
    });
    let (payments_dir, carrier_dir) = (payments_dir?, carrier_dir?);
    let open = |dir: &Path| -> anyhow::Result<Simulator> {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        Ok(Simulator::open(dir, Arc::clone(clock), simulated)?)
    };
    let payments = open(payments_dir)?;
    let carrier = if carrier_dir == payments_dir { payments.clone() } else { open(carrier_dir)? };
    payments.ships_with(&carrier);
    Ok((payments, carrier))
}
