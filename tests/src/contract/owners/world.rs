//! What the cases of the owners' contract share: owners over a log, and a small shop to command.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use command_api::owner::{OwnerConfig, Owners};
use domain::Timestamp;
use domain::command::{Accepted, CommandError, CommandId, CommandRequest, Step};
use domain::event::RecordedEvent;
use domain::frame::{DecidedFrame, Tail};
use domain::inventory::{Inventory, InventoryCommand, MAIN_WAREHOUSE};
use domain::ports::clock::{Clock, SystemClock};
use domain::ports::feed::FanOut;
use domain::ports::gateway::CommandGateway;
use domain::ports::log::EventLog;
use domain::position::Shard;
use domain::stream::StreamId;
use domain::verify::verify_frame;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use uuid::Uuid;

use super::FreshLog;
use crate::shop::SETTLES_WITHIN;

/// Keeps what was published, in order.
#[derive(Default)]
pub struct Published(pub Mutex<Vec<Arc<DecidedFrame>>>);

impl FanOut for Published {
    fn publish(&self, frame: Arc<DecidedFrame>) {
        self.0.lock().expect("no panic").push(frame);
    }
}

/// A store and what is true of it.
pub struct World<B> {
    /// The backend.
    pub backend: B,
}

/// The stream of the stock that most cases use; in a store of one shard.
pub fn stock() -> StreamId {
    stock_of(Uuid::from_u128(7))
}

/// The stream of the stock of a product.
pub fn stock_of(product: Uuid) -> StreamId {
    StreamId::new("default", "inventory", product)
}

/// A command for the stock of product 7.
pub fn command(inventory: InventoryCommand) -> CommandRequest {
    on(stock(), inventory)
}

/// A command for a stock, under a fresh id.
pub fn on(stream: StreamId, inventory: InventoryCommand) -> CommandRequest {
    CommandRequest::new(CommandId::fresh(), "system:test", vec![Step::new(stream, inventory)])
}

/// States what is on hand.
pub fn set_stock(on_hand: u64) -> InventoryCommand {
    InventoryCommand::SetStock { warehouse: MAIN_WAREHOUSE.into(), on_hand }
}

/// Reserves pieces for an order, for an hour.
pub fn reserve(order: u128, quantity: u32) -> InventoryCommand {
    let expires_at = SystemClock.now() + Duration::from_secs(3_600);
    InventoryCommand::Reserve { order_id: Uuid::from_u128(order), line: 1, quantity, expires_at }
}

/// Whether this is the refusal of a reservation for want of stock.
pub fn out_of_stock(outcome: &Result<Accepted, CommandError>) -> bool {
    matches!(outcome, Err(CommandError::Refused(refusal)) if refusal.code == "out-of-stock")
}

/// A configuration for tests: short waits.
pub fn config() -> OwnerConfig {
    OwnerConfig { stop_within: Duration::from_secs(5), ..OwnerConfig::default() }
}

/// Owners over a log, with this configuration.
pub async fn owners_with(log: Arc<dyn EventLog>, config: OwnerConfig) -> Arc<Owners> {
    owners_at(log, config, Arc::new(SystemClock)).await
}

/// Owners over a log, with this configuration and clock.
pub async fn owners_at(log: Arc<dyn EventLog>, config: OwnerConfig, clock: Arc<dyn Clock>) -> Arc<Owners> {
    let registry = Arc::new(sagas::registry());
    let owners = Owners::start(log, registry, Arc::new(Published::default()), clock, config).await;
    Arc::new(owners.expect("the store can be taken over"))
}

/// The same, with what they tell of themselves.
pub async fn owners_told(log: Arc<dyn EventLog>, config: OwnerConfig) -> (Arc<Owners>, PrometheusHandle) {
    let (recorder, registry) = (PrometheusBuilder::new().build_recorder(), Arc::new(sagas::registry()));
    let starting = metrics::with_local_recorder(&recorder, || {
        Owners::start(log, registry, Arc::new(Published::default()), Arc::new(SystemClock), config)
    });
    (Arc::new(starting.await.expect("the store can be taken over")), recorder.handle())
}

/// Owners over a log.
pub async fn owners(log: Arc<dyn EventLog>) -> Arc<Owners> {
    owners_with(log, config()).await
}

/// The stock of product 7 as its owner tells it: (on hand, reserved, version).
pub async fn level(owners: &Owners) -> (u64, u64, u64) {
    level_of(owners, stock()).await
}

/// Has a command decided, and asks again under its id for as long as nobody knows: the machine may be slower than a caller waits.
///
/// # Errors
/// As it was decided.
pub async fn insist(owners: &Owners, request: CommandRequest) -> Result<Accepted, CommandError> {
    let request = if request.id.is_repeatable() { request } else { request.repeatable([1; 32]) };
    let asking = async {
        loop {
            match owners.submit(request.clone()).await {
                Err(CommandError::OutcomeUnknown(_) | CommandError::InFlight) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                known => break known,
            }
        }
    };
    tokio::time::timeout(SETTLES_WITHIN, asking).await.expect("it is known in the end")
}

/// A stock as its owner tells it: (on hand, reserved, version).
///
/// # Panics
/// When its owner doesn't tell.
pub async fn level_of(owners: &Owners, stream: StreamId) -> (u64, u64, u64) {
    let stream = &[stream];
    let asking = async {
        loop {
            match owners.read(stream).await {
                Ok(views) => break views,
                // Callers may be made to wait less than a busy machine takes.
                Err(CommandError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let views = tokio::time::timeout(SETTLES_WITHIN, asking).await.expect("the owner answers");
    let version = views[0].meta.version;
    let level = views[0]
        .state::<Inventory>()
        .and_then(|inventory| inventory.warehouses.get(MAIN_WAREHOUSE).copied())
        .unwrap_or_default();
    (level.on_hand, level.reserved, version)
}

impl<B: FreshLog> World<B> {
    /// A new store of one shard.
    pub async fn new() -> Self {
        Self::sharded(1).await
    }

    /// A new store.
    pub async fn sharded(shards: u16) -> Self {
        Self { backend: B::fresh(shards).await }
    }

    /// Its log, without faults.
    pub fn log(&self) -> Arc<dyn EventLog> {
        self.backend.log()
    }

    /// Every frame of a shard, verified as a chain.
    pub async fn frames(&self, shard: Shard) -> Vec<DecidedFrame> {
        let log = self.log();
        let mut tail = Tail::empty(shard);
        let mut frames = Vec::new();
        loop {
            let rows = log.read_frames(shard, tail.slot.frame, 100, 1 << 20).await.expect("readable");
            if rows.is_empty() {
                return frames;
            }
            for row in rows {
                tail = verify_frame(log.store().id, &tail, &row).expect("the chain verifies");
                frames.push(DecidedFrame::decode(&row).expect("decodable"));
            }
        }
    }

    /// Every event of all shards.
    pub async fn events(&self) -> Vec<Arc<RecordedEvent>> {
        let mut events = Vec::new();
        for n in 0..self.log().store().shards {
            events.extend(self.frames(Shard(n)).await.into_iter().flat_map(|frame| frame.events));
        }
        events
    }

    /// How many events have this dotted type.
    pub async fn count(&self, event_type: &str) -> usize {
        self.events().await.iter().filter(|event| event.event_type == event_type).count()
    }
}

/// A clock that says what it is told.
pub struct SetClock(pub Mutex<Timestamp>);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no panic")
    }
}
