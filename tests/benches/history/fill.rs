//! A shop's past, by the commands of the real aggregates: products with their stock, and orders of one line each. Of ten orders seven are
//! completed, two are paid and wait for the warehouse, and the card of one is declined (see `story`). Many orders move at once, so a command
//! takes a step of many streams of its shard, and a frame holds many events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use command_api::owner::Owners;
use domain::command::{CommandId, CommandRequest, Step};
use futures::future::join_all;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::library::{Library, submit};
use crate::story::{Order, Product, STAGES, Story};

/// Products that are ordered together.
const PRODUCTS: usize = 256;
/// Orders that each of them gets.
const ROUNDS: usize = 10;
/// Steps of a command at most: each may lead to several decisions.
const TOGETHER: usize = 32;
/// Such batches at work at once.
const WRITERS: usize = 4;
/// What a store was filled with.
#[derive(Default)]
pub(crate) struct Filled {
    pub(crate) events: u64,
    pub(crate) streams: u64,
    pub(crate) products: Vec<Uuid>,
    pub(crate) orders: Vec<Uuid>,
}

/// Some products, and an order of each.
pub(crate) async fn few(library: &Library, products: usize) -> Filled {
    let mut batch = Batch::new(library, Arc::default(), products).await;
    batch.round().await;
    batch.filled
}

/// At least so many events.
pub(crate) async fn many(library: &Library, events: u64) -> Filled {
    let (done, numbers) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let (library, done, numbers) = (library.clone(), Arc::clone(&done), Arc::clone(&numbers));
        writers.spawn(async move {
            let mut all = Filled::default();
            while done.load(Ordering::Relaxed) < events {
                let mut batch = Batch::new(&library, Arc::clone(&numbers), PRODUCTS).await;
                let mut told = 0;
                for _ in 0..ROUNDS {
                    batch.round().await;
                    let more = batch.filled.events - told;
                    told += more;
                    if done.fetch_add(more, Ordering::Relaxed) + more >= events {
                        break;
                    }
                }
                all.add(batch.filled);
            }
            all
        });
    }
    let mut all = Filled::default();
    for filled in writers.join_all().await {
        all.add(filled);
    }
    all
}

impl Filled {
    fn add(&mut self, more: Self) {
        self.events += more.events;
        self.streams += more.streams;
        self.products.extend(more.products);
        self.orders.extend(more.orders);
    }
}

/// Products that are ordered together.
struct Batch {
    owners: Arc<Owners>,
    shards: u16,
    numbers: Arc<AtomicUsize>,
    products: Vec<Product>,
    filled: Filled,
}

impl Batch {
    async fn new(library: &Library, numbers: Arc<AtomicUsize>, products: usize) -> Self {
        let (owners, shards) = (Arc::clone(&library.owners), library.shards);
        let mut batch = Self { owners, shards, numbers, products: Vec::new(), filled: Filled::default() };
        let mut steps = Vec::new();
        for _ in 0..products {
            let (product, first) = Product::make(batch.numbers.fetch_add(1, Ordering::Relaxed), shards);
            batch.filled.products.push(product.id);
            batch.products.push(product);
            steps.extend(first);
        }
        batch.filled.streams += steps.len() as u64;
        batch.filled.events += batch.decide(steps).await;
        batch
    }

    /// An order of every product, from its placing to its end.
    async fn round(&mut self) {
        let order = |product| Order::new(self.numbers.fetch_add(1, Ordering::Relaxed), product, self.shards);
        let orders: Vec<_> = self.products.iter().map(order).collect();
        let mut events = 0;
        for stage in 0..STAGES {
            events += self.decide(orders.iter().filter_map(|order| order.step(stage)).collect()).await;
        }
        let declined = orders.iter().filter(|order| order.story == Story::Declined).count();
        self.filled.orders.extend(orders.iter().map(|order| order.id));
        // A declined order has no shipment.
        self.filled.streams += (4 * orders.len() - declined) as u64;
        self.filled.events += events;
    }

    /// Has steps of as many streams decided, many of a shard by one command; returns how many events there were.
    async fn decide(&self, steps: Vec<Step>) -> u64 {
        let mut by_shard: BTreeMap<u16, Vec<Step>> = BTreeMap::new();
        for step in steps {
            by_shard.entry(step.stream.shard(self.shards).0).or_default().push(step);
        }
        let commands = by_shard.values().flat_map(|steps| steps.chunks(TOGETHER)).map(|steps| {
            submit(&self.owners, CommandRequest::new(CommandId::fresh(), "system:bench", steps.to_vec()))
        });
        join_all(commands).await.iter().map(|accepted| accepted.events).sum()
    }
}
