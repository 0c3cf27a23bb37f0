//! Shoppers who order all the time, know what was acknowledged to them, and in the end check that the books balance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _};
use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::Reply;
use crate::history::History;
use crate::server::eventually;
use crate::shop::{Front, SETTLES_WITHIN, order_of, pages};

/// Pieces of the product at the beginning: never sold out.
pub const INITIAL: i64 = 1_000_000;

/// How long a shopper takes between two orders: an engine that starts needs some of the processors that orders would take.
const LOOKING_AROUND: Duration = Duration::from_millis(500);
/// Questions that a check asks at once.
const AT_ONCE: usize = 8;

/// What shoppers know.
#[derive(Debug, Default)]
pub struct Known {
    /// Sent, by key: the body that a repeat must send again.
    pub sent: BTreeMap<String, Value>,
    /// Acknowledged, by key: the order's id.
    pub acknowledged: BTreeMap<String, String>,
    /// How often a command was answered by 503, by the problem.
    pub refusals: BTreeMap<String, u64>,
    /// How often no connection was made: nothing was sent.
    pub unreachable: u64,
    /// How often a request was sent and no answer came.
    pub unanswered: u64,
    /// How often a command was answered by 409: an earlier request under its key was still being decided.
    pub conflicts: u64,
    /// How often an order was read with the Sync-Token of its acknowledgement, and found.
    pub reads: u64,
    /// How often such a read was answered by 503, by the problem.
    pub reads_refused: BTreeMap<String, u64>,
    /// How often such a read got no answer.
    pub reads_unanswered: u64,
    /// The longest time from the first request of an order to its acknowledgement.
    pub slowest: Duration,
    /// Answers that nobody documented.
    pub undocumented: Vec<String>,
}

/// An acknowledged order.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Its id.
    pub id: String,
    /// The Sync-Token of the acknowledgement.
    pub token: String,
}

impl Placed {
    /// The shard that decided it.
    ///
    /// # Panics
    /// When the token names none.
    #[must_use]
    pub fn shard(&self) -> u16 {
        let shard = self.token.split(':').next().and_then(|shard| shard.parse().ok());
        shard.unwrap_or_else(|| panic!("no shard in the Sync-Token {:?}", self.token))
    }
}

/// Orders of one product, sent through a shop's front.
#[derive(Debug, Clone)]
pub struct Workload {
    front: Front,
    product: String,
    prefix: String,
    numbers: Arc<AtomicU64>,
    known: Arc<Mutex<Known>>,
    history: History,
}

/// Shoppers at work.
#[derive(Debug)]
pub struct Load {
    stop: CancellationToken,
    shoppers: JoinSet<()>,
}

impl Load {
    /// Lets every shopper finish the order at hand.
    ///
    /// # Panics
    /// When one of them panicked.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.shoppers.join_next().await {
            ended.expect("no shopper panics");
        }
    }
}

/// A payment method for the n-th order: some are declined, lost or slow.
#[must_use]
pub fn method(n: u64) -> &'static str {
    match n % 20 {
        3 | 9 | 15 => "tok_declined",
        7 => "tok_insufficient_funds",
        11 => "tok_timeout_captured",
        13 => "tok_slow",
        _ => "tok_visa",
    }
}

impl Workload {
    /// A workload with a customer of its own, on a product of its own of which there are [`INITIAL`] pieces.
    pub async fn new(front: &Front, name: &str, history: &History) -> Self {
        let (mut front, history) = (front.clone(), history.clone());
        front.customer = front.new_customer(name).await;
        let product = front.product(name, 1_000, INITIAL.unsigned_abs()).await;
        let (numbers, known) = (Arc::default(), Arc::default());
        Self { front, product, prefix: name.to_owned(), numbers, known, history }
    }

    /// What is known by now.
    ///
    /// # Panics
    /// When a shopper panicked meanwhile.
    pub fn known<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.known.lock().expect("no panic"))
    }

    /// How many orders were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.known(|known| known.acknowledged.len())
    }

    /// Starts shoppers, each of whom has one order at a time on its way, and looks around for a moment before the next.
    #[must_use]
    pub fn start(&self, shoppers: usize) -> Load {
        let stop = CancellationToken::new();
        let mut set = JoinSet::new();
        for _ in 0..shoppers {
            let (workload, stop) = (self.clone(), stop.clone());
            set.spawn(async move {
                while !stop.is_cancelled() {
                    if let Some(placed) = workload.order(&stop).await {
                        workload.read(&placed).await;
                    }
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(LOOKING_AROUND) => {}
                    }
                }
            });
        }
        Load { stop, shoppers: set }
    }

    /// Waits until so many more orders are acknowledged.
    pub async fn more(&self, orders: usize) {
        let enough = self.acknowledged() + orders;
        let what = format!("{orders} more orders to be acknowledged");
        eventually(&what, SETTLES_WITHIN, || async { (self.acknowledged() >= enough).then_some(()) }).await;
    }

    /// Places one order, again and again under its key until it is acknowledged or `stop` says that nobody waits for it
    /// any longer.
    pub async fn order(&self, stop: &CancellationToken) -> Option<Placed> {
        let n = self.numbers.fetch_add(1, Ordering::Relaxed);
        let key = format!("{}-{n}", self.prefix);
        let body = order_of(&self.product, 1 + u32::try_from(n % 3).expect("small"), method(n));
        self.known(|known| known.sent.insert(key.clone(), body.clone()));
        let began = Instant::now();
        loop {
            let answer = self.front.customer.post("/api/v1/orders", &body).key(&key).send().await;
            if let Ok(reply) = &answer
                && reply.status == 201
            {
                let placed = Placed { id: reply.id(), token: reply.header("sync-token").to_owned() };
                self.known(|known| {
                    known.acknowledged.insert(key, placed.id.clone());
                    known.slowest = known.slowest.max(began.elapsed());
                });
                return Some(placed);
            }
            let pause = self.unanswered(&key, answer);
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Reads an order as soon as it is acknowledged: with its Sync-Token it is there, or a 503 says that it can't be seen yet.
    async fn read(&self, placed: &Placed) {
        let path = format!("/api/v1/orders/{}", placed.id);
        let answer = self.front.customer.call(Method::GET, &path).seen(&placed.token).send().await;
        self.known(|known| match answer {
            Ok(reply) if reply.status == 200 && reply.id() == placed.id => known.reads += 1,
            Ok(reply) if reply.status == 503 && reply.header("retry-after").parse::<u64>().is_ok() => {
                *known.reads_refused.entry(reply.problem().to_owned()).or_default() += 1;
            }
            Ok(reply) => known.undocumented.push(format!("GET {path}: {} {}", reply.status, reply.text)),
            Err(_) => known.reads_unanswered += 1,
        });
    }

    /// Notes what came instead of an order; answers how long a shopper waits before the repeat.
    fn unanswered(&self, key: &str, answer: reqwest::Result<Reply>) -> Duration {
        let soon = Duration::from_millis(20);
        match answer {
            Ok(reply) if reply.status == 503 => {
                let after = reply.header("retry-after").parse::<u64>();
                let problem = reply.problem().to_owned();
                self.history.tell(format!("{key}: 503 {problem}"));
                self.known(|known| {
                    if after.is_err() {
                        known.undocumented.push(format!("503 without Retry-After: {}", reply.text));
                    }
                    *known.refusals.entry(problem).or_default() += 1;
                });
                Duration::from_secs(after.unwrap_or(1).min(5)).max(soon)
            }
            // The first request under this key is still being decided, and this one was a repeat of it.
            Ok(reply) if reply.status == 409 => {
                self.history.tell(format!("{key}: 409 {}", reply.problem()));
                self.known(|known| known.conflicts += 1);
                Duration::from_millis(200)
            }
            Ok(reply) => {
                self.history.tell(format!("{key}: {} {}", reply.status, reply.text));
                self.known(|known| known.undocumented.push(format!("{} {}", reply.status, reply.text)));
                Duration::from_millis(200)
            }
            Err(error) if error.is_connect() => {
                self.known(|known| known.unreachable += 1);
                soon
            }
            Err(error) => {
                self.history.tell(format!("{key}: no answer, {error:?}"));
                self.known(|known| known.unanswered += 1);
                soon
            }
        }
    }

    /// Checks all of it: every acknowledged order is there exactly once, every order ends, and the books balance.
    ///
    /// # Panics
    /// When something is lost, doubled, stuck or out of balance.
    pub async fn check(&self) {
        let (sent, acknowledged, undocumented) =
            self.known(|known| (known.sent.clone(), known.acknowledged.clone(), known.undocumented.clone()));
        assert!(undocumented.is_empty(), "undocumented answers: {undocumented:#?}");
        self.history.tell(format!("checking {} orders, {} acknowledged", sent.len(), acknowledged.len()));

        // Every key again: what was acknowledged answers the same order, what wasn't becomes one order now at the latest.
        let acknowledged = &acknowledged;
        let repeats = sent.iter().map(|(key, body)| async move {
            let again = eventually(&format!("a repeat of {key}"), SETTLES_WITHIN, || async {
                let reply = self.front.customer.post("/api/v1/orders", body).key(key).send().await.ok()?;
                assert!(matches!(reply.status, 201 | 409 | 503), "{key}: {}", reply.text);
                (reply.status == 201).then_some(reply)
            })
            .await;
            if let Some(id) = acknowledged.get(key) {
                assert_eq!(again.id(), *id, "{key}");
                assert_eq!(again.header("idempotency-replayed"), "true", "{key}");
            }
            (again.id(), key.clone())
        });
        let orders: BTreeMap<String, String> =
            stream::iter(repeats).buffer_unordered(AT_ONCE).collect().await;
        assert_eq!(orders.len(), sent.len(), "one order per key");
        // So the next check asks for these to be what they are now.
        self.known(|known| {
            known.acknowledged.extend(orders.iter().map(|(id, key)| (key.clone(), id.clone())))
        });

        // Every order ends, or waits for the warehouse.
        let ends = orders
            .keys()
            .map(|order| self.front.settled(order, &["paid", "shipped", "cancelled", "rejected"]));
        let _: Vec<Reply> = stream::iter(ends).buffer_unordered(AT_ONCE).collect().await;
        let listed = pages(&self.front.customer, "/api/v1/orders?limit=100").await;
        let ids: BTreeSet<&str> = listed.iter().map(|order| text(order, "/id")).collect();
        assert_eq!(ids.len(), listed.len(), "no order is listed twice");
        assert_eq!(ids, orders.keys().map(String::as_str).collect(), "no order that nobody placed");

        self.dispatch_some(&listed).await;
        self.balance().await;
    }

    /// Dispatches a few paid orders.
    async fn dispatch_some(&self, orders: &[Value]) {
        for order in orders.iter().filter(|order| order["status"] == "paid").take(3) {
            let path = format!("/api/v1/shipments/{}/dispatch", text(order, "/shipment/id"));
            self.front.post(&self.front.warehouse, &path).await.expect(200);
            let _ = self.front.settled(text(order, "/id"), &["shipped"]).await;
        }
    }

    /// On hand = initial − sold; reserved = paid and not shipped; captured − refunded = what fulfilled orders cost.
    async fn balance(&self) {
        let orders = pages(&self.front.customer, "/api/v1/orders?limit=100").await;
        let with = |statuses: &'static [&str]| {
            orders.iter().filter(move |order| statuses.contains(&text(order, "/status")))
        };
        let pieces = |statuses| with(statuses).map(|o| number(o, "/items/0/quantity")).sum::<i64>();
        self.front.stock(&self.product, INITIAL - pieces(&["shipped"]), pieces(&["paid"])).await;

        let owed: i64 = with(&["paid", "shipped"]).map(|order| number(order, "/total/amount")).sum();
        let net = |charge: &Value| number(charge, "/captured/amount") - number(charge, "/refunded/amount");
        // A refund may be on its way to the provider when its order is already cancelled.
        let charges = eventually("captured − refunded = ledger", SETTLES_WITHIN, || async {
            let ids: BTreeSet<&str> = orders.iter().map(|order| text(order, "/id")).collect();
            let mut charges = self.front.charges().await;
            charges.retain(|charge| ids.contains(text(charge, "/order_id")));
            (charges.iter().map(net).sum::<i64>() == owed).then_some(charges)
        })
        .await;
        let mut charged: BTreeMap<&str, u64> = BTreeMap::new();
        for charge in charges.iter().filter(|charge| number(charge, "/captured/amount") != 0) {
            *charged.entry(text(charge, "/order_id")).or_default() += 1;
        }
        assert!(charged.values().all(|times| *times == 1), "no order is charged twice");
        for order in with(&["cancelled", "rejected"]) {
            let id = text(order, "/id");
            let left: i64 = charges.iter().filter(|charge| charge["order_id"] == id).map(net).sum();
            assert_eq!(left, 0, "order {id} was not fulfilled and yet charged");
        }
    }

    /// What happened to the orders, in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        self.known(|known| {
            format!(
                "{} orders sent, {} acknowledged, 503 {:?}, {} in conflict, {} without connection, {} without answer, \
                 slowest {:?}; {} read at once, 503 {:?}, {} without answer",
                known.sent.len(),
                known.acknowledged.len(),
                known.refusals,
                known.conflicts,
                known.unreachable,
                known.unanswered,
                known.slowest,
                known.reads,
                known.reads_refused,
                known.reads_unanswered,
            )
        })
    }

    /// The clients.
    #[must_use]
    pub fn front(&self) -> &Front {
        &self.front
    }

    /// The product that is ordered.
    #[must_use]
    pub fn product(&self) -> &str {
        &self.product
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, pointer: &str) -> i64 {
    value
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_else(|| panic!("no number at {pointer} of {value}"))
}
