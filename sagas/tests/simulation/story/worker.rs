//! The worker's own loop over the story's world.

use std::sync::Arc;
use std::time::Duration;

use domain::shipping::shipment::ShipmentCommand;
use sagas::engine::work::WorkQueue;
use sagas::engine::worker::{self, Bulkhead, Worker, WorkerConfig};
use sagas::fulfilment::lanes;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{ORDERS, Starts, Story, order_id, shipment_id};
use crate::world::{SHARDS, World};

/// Within this a worker that looks all the time looks.
const LOOKS: Duration = Duration::from_millis(20);

impl Story {
    /// Starts a worker's loop; answers what stops it.
    fn start(&self, worker: Worker) -> (CancellationToken, JoinHandle<()>) {
        let stop = CancellationToken::new();
        let work: Arc<dyn WorkQueue> = Arc::new(self.world.clone());
        let (source, seen) = (self.world.source(), self.world.watermark());
        (stop.clone(), tokio::spawn(worker::run(worker, work, source, seen, stop)))
    }

    /// The worker's own loop, with somebody who moves the read model, the clock and the warehouse.
    pub(crate) async fn run_worker(&self) {
        let narrow = |bulkhead: Bulkhead| {
            let at_once = if bulkhead.lane == lanes::COMMANDS { 2 } else { 1 };
            Bulkhead { at_once, ..bulkhead }
        };
        let bulkheads = self.worker.bulkheads.iter().cloned().map(narrow).collect();
        let (stop, running) = self.start(Worker { bulkheads, ..self.worker.clone() });
        while !(self.all_completed() && self.world.open_work().is_empty()) {
            self.world.project_all();
            for order in 0..ORDERS {
                for command in [ShipmentCommand::Dispatch, ShipmentCommand::Deliver] {
                    let _ = self.world.command("shipment", shipment_id(order), command);
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stop.cancel();
        running.await.unwrap();
    }

    /// A worker that reads the read model all the time.
    fn busy_worker(&self) -> Worker {
        let every = Duration::from_millis(1);
        let config = WorkerConfig {
            poll: every,
            retry_pause: every,
            retry_pause_max: every,
            ..self.worker.config.clone()
        };
        Worker { config, ..self.worker.clone() }
    }

    /// Fills a read model that `loses` something anew, event by event, under the eyes of a worker that starts before or after the loss;
    /// answers how often the outside was called meanwhile.
    pub(crate) async fn fill_anew_under_the_worker(&self, starts: Starts, loses: impl Fn(&World)) -> usize {
        let calls = self.outside.calls();
        self.world.forget_commands();
        if starts == Starts::AfterTheLoss {
            loses(&self.world);
        }
        let (stop, running) = self.start(self.busy_worker());
        if starts == Starts::BeforeTheLoss {
            tokio::time::sleep(LOOKS).await;
            loses(&self.world);
        }
        // The worker looks after every single event.
        tokio::time::sleep(LOOKS).await;
        while (0..SHARDS).any(|shard| self.world.project(shard, 1)) {
            tokio::time::sleep(LOOKS).await;
        }
        stop.cancel();
        running.await.unwrap();
        self.outside.calls() - calls
    }

    /// An order is placed while the read model shows nothing at all: what is pushed is carried out, and nothing else.
    pub(crate) async fn order_while_the_rows_are_lost(&mut self) {
        self.world.forget_commands();
        self.world.forget_rows();
        let before = self.history();
        let (stop, running) = self.start(self.busy_worker());
        tokio::time::sleep(LOOKS).await;
        let new = ORDERS;
        self.place(new);
        tokio::time::sleep(LOOKS * 50).await;
        stop.cancel();
        running.await.unwrap();
        assert!(self.went_far(new));
        let after = self.history();
        let old = |(stream, _): &(&String, &Vec<String>)| !stream.contains("inventory");
        for (stream, events) in before.iter().filter(old) {
            assert_eq!(after.get(stream), Some(events), "{stream}");
        }
        let charges = self.outside.0.lock().unwrap().charges.len();
        assert!(charges <= usize::from(ORDERS) + 1);
    }

    /// Whether an order has heard of its stock, so its saga did more than begin.
    fn went_far(&self, order: u8) -> bool {
        let stream = format!("default/order/{}", order_id(order));
        self.history().get(&stream).is_some_and(|events| events.len() > 1)
    }

    /// The feed brings nothing while others do the work, and everything later; answers how often the outside was called then.
    pub(crate) async fn feed_brings_late_what_others_did(&mut self) -> usize {
        self.world.withhold(true);
        let (stop, running) = self.start(self.worker.clone());
        tokio::time::sleep(LOOKS).await;
        self.settle().await;
        tokio::time::sleep(LOOKS).await;
        self.world.forget_commands();
        self.world.pass(600);
        let (calls, before) = (self.outside.calls(), self.history());
        self.world.withhold(false);
        tokio::time::sleep(LOOKS * 50).await;
        assert_eq!(self.history(), before);
        let called = self.outside.calls() - calls;
        // What is new is pushed again.
        self.place(ORDERS);
        tokio::time::sleep(LOOKS * 50).await;
        assert!(self.went_far(ORDERS));
        stop.cancel();
        running.await.unwrap();
        called
    }
}
