#![doc = include_str!("../README.md")]

pub mod engine;
pub mod fulfilment;
pub mod projection;
pub mod standing;

use std::sync::Arc;

use domain::aggregate::Registry;
use domain::ports::clock::Clock;
use domain::ports::gateway::CommandGateway;

use engine::commands::Commands;
use engine::process::{Processes, React};
use engine::worker::{Bulkhead, Worker, WorkerConfig};
use fulfilment::config::{Capacity, FulfilmentConfig};
use fulfilment::ports::{Carrier, PaymentProvider};
use fulfilment::{lanes, refunds};

/// The registry of the shop's aggregates and the sagas, which deal with time as is usual.
#[must_use]
pub fn registry() -> Registry {
    registry_with(&FulfilmentConfig::default())
}

/// The registry of the shop's aggregates and the sagas.
#[must_use]
pub fn registry_with(fulfilment: &FulfilmentConfig) -> Registry {
    domain::aggregates(Registry::default())
        .with::<fulfilment::state::Fulfilment>()
        .with_process(fulfilment::process::FulfilmentProcess { terms: fulfilment.terms() })
}

/// How the shop's processes react. Whatever one of them opens is shown by the projection, and pushed to the worker.
pub const REACTIONS: [React; 2] = [fulfilment::changes::of, refunds::changes];

/// What the shop's processes work with.
pub struct Shop {
    /// The way to the owners of the shards.
    pub gateway: Arc<dyn CommandGateway>,
    /// The payment provider.
    pub payments: Arc<dyn PaymentProvider>,
    /// The carrier.
    pub carrier: Arc<dyn Carrier>,
    /// How order fulfilment deals with time.
    pub fulfilment: FulfilmentConfig,
    /// How much is done at once.
    pub capacity: Capacity,
}

impl Shop {
    /// The worker that carries out the work of all of them.
    #[must_use]
    pub fn worker(self, clock: Arc<dyn Clock>, config: WorkerConfig) -> Worker {
        let Self { gateway, payments, carrier, fulfilment, capacity } = self;
        let commands = Commands { gateway, actor: fulfilment::ACTOR, within: capacity.command_timeout };
        let refunds = refunds::RefundManager {
            commands: commands.clone(),
            payments: Arc::clone(&payments),
            provider_timeout: fulfilment.provider_timeout,
        };
        let fulfilment =
            fulfilment::manager::FulfilmentManager { commands, payments, carrier, config: fulfilment };
        let bulkhead = |lane, at_once, is_outside| Bulkhead { lane, at_once, is_outside };
        Worker {
            processes: Processes::reacting(&REACTIONS).with(fulfilment).with(refunds),
            bulkheads: vec![
                bulkhead(lanes::COMMANDS, capacity.commands, false),
                bulkhead(lanes::PAYMENTS, capacity.payment_calls, true),
                bulkhead(lanes::CARRIER, capacity.carrier_calls, true),
            ],
            clock,
            config,
        }
    }
}
