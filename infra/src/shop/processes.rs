//! Order fulfilment and refunds, with the payment provider and the carrier that they use.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use axum::middleware::from_fn_with_state;
use command_api::web::access::Operation;
use domain::aggregate::AnyCommand;
use domain::event::RecordedEvent;
use domain::ordering::order::OrderCommand;
use domain::ports::clock::Clock;
use domain::ports::gateway::CommandGateway;
use sagas::Shop;
use sagas::engine::worker::WorkerConfig;
use sagas::fulfilment::config::{Capacity, FulfilmentConfig};
use utoipa::openapi::OpenApi;

use super::simulator::{self, Simulator, SimulatorConfig, nearby};
use crate::application::{Managing, Means, Pace, ProcessManagers};
use crate::config::{Config, ConfigError, Directory, Family, Role};

/// The shop's process managers.
pub(super) struct Fulfilment;

impl ProcessManagers for Fulfilment {
    fn check(&self, config: &Config) -> Result<(), ConfigError> {
        check_providers(config)
    }

    fn operations(&self) -> (Vec<Operation>, OpenApi) {
        let routes = simulator::http::routes();
        (routes.operations().to_vec(), routes.split().1)
    }

    fn stuck_reasons(&self) -> &'static [&'static str] {
        // What a step needs somebody for; then work of a lane that is older than its bound; then what has nothing to do.
        &[
            "refund_refused",
            "void_refused",
            "carrier_refused",
            "step_refused",
            "payments_overdue",
            "carrier_overdue",
            "commands_overdue",
            "halted",
        ]
    }

    fn open(
        &self,
        config: &Config,
        gateway: Arc<dyn CommandGateway>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Managing> {
        warn_of_simulators(config);
        let (payments, carrier) = simulators(config, &clock)?;
        let shop = Shop {
            gateway,
            payments: Arc::new(payments.clone()),
            carrier: Arc::new(carrier),
            fulfilment: terms(config),
            capacity: Capacity::default(),
        };
        let (router, _) = simulator::http::routes().with_state(payments).split();
        // Others than this machine have to be let in.
        let only = from_fn_with_state(config.simulator.public, nearby::only);
        Ok(Managing { worker: shop.worker(clock, WorkerConfig::default()), router: router.layer(only) })
    }
}

/// Whether the providers can be used as they are configured; where fulfilment doesn't run, that doesn't matter.
fn check_providers(config: &Config) -> Result<(), ConfigError> {
    if !config.runs(Role::Sagas) {
        return Ok(());
    }
    for (key, directory) in config.simulators() {
        let Some(directory) = directory else {
            return Err(ConfigError::Conflict(format!(
                "{key} names nobody who takes the shop's orders further: `--set {key}=simulator:`, or simulator:<directory>, names \
                 the built-in simulator, which is for trying things out (no money and no parcel moves)"
            )));
        };
        let apart =
            config.running().len() < Role::ALL.len() && matches!(config.family()?, Family::Distributed(_));
        if apart && directory.named().is_none() {
            return Err(ConfigError::Conflict(format!(
                "{key} = \"simulator:\" keeps its books in data.dir, where no other process finds them: a charge whose \
                 reply was lost would be looked up in vain and charged again; name a directory that all processes \
                 with the role sagas share, as simulator:<directory>"
            )));
        }
    }
    Ok(())
}

fn warn_of_simulators(config: &Config) {
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
}

/// Acceptance keeps pace with fulfilment: an order waits for its stock.
pub(crate) const PACE: Pace = Pace { means, makes_more };

fn means(event: &RecordedEvent) -> Means {
    match event.event_type.as_str() {
        "fulfilment.started" => Means::Begun,
        // The stock is asked for with the start; the first answer ends the wait.
        "fulfilment.step_requested" => Means::Nothing,
        _ if event.stream.kind() == sagas::fulfilment::KIND => Means::Answered,
        _ => Means::Nothing,
    }
}

fn makes_more(command: &dyn AnyCommand) -> bool {
    matches!(command.as_any().downcast_ref(), Some(OrderCommand::Place { .. }))
}

/// How order fulfilment deals with time; those who decide it need it as well as the worker.
pub(super) fn terms(config: &Config) -> FulfilmentConfig {
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
