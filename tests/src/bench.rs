//! What the benchmarks share: the commands they issue, and how they measure and print.

#![expect(clippy::print_stdout, reason = "a benchmark run by hand prints its table")]

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use domain::command::{CommandId, CommandRequest, Step};
use domain::inventory::{InventoryCommand, MAIN_WAREHOUSE};
use domain::money::{Currency, Money};
use domain::ordering::order::{OrderCommand, RequestedLine, ShippingAddress};
use domain::personal::Sealed;
use domain::ports::clock::{Clock, SystemClock};
use domain::position::Shard;
use domain::stream::{DEFAULT_TENANT, StreamId, draw_id_in_shard};
use uuid::Uuid;

use crate::client::Reply;
use crate::shop::{Shop, order_of};

/// Shards of every measured store: `SHARDS` of the environment, else 16, the default of a store.
///
/// # Panics
/// When `SHARDS` is no number of shards.
#[must_use]
pub fn shards() -> u16 {
    static SHARDS: LazyLock<u16> = LazyLock::new(|| match std::env::var("SHARDS") {
        Ok(text) => {
            text.parse().ok().filter(|n| (1..=1024).contains(n)).expect("SHARDS is a number, 1 to 1024")
        }
        Err(_) => 16,
    });
    *SHARDS
}

/// How fast something went.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// Finished calls per second.
    pub per_second: f64,
    /// Half of the calls took at most this long.
    pub p50: Duration,
    /// 99 of 100 calls took at most this long.
    pub p99: Duration,
}

/// The head of a table of [`Line`]s.
pub fn print_head(what: &str) {
    println!("| {what:<44} | callers | per second | p50 ms   | p99 ms   |");
    println!("| {:-<44} | ------: | ---------: | -------: | -------: |", "");
}

/// A row of the table.
pub fn print_line(what: &str, callers: usize, line: &Line) {
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    println!(
        "| {what:<44} | {callers:>7} | {:>10.0} | {:>8.3} | {:>8.3} |",
        line.per_second,
        ms(line.p50),
        ms(line.p99)
    );
}

/// Sums latencies up that were measured within `elapsed`.
#[must_use]
pub fn summary(mut latencies: Vec<Duration>, elapsed: Duration) -> Line {
    latencies.sort_unstable();
    let at = |q: f64| latencies.get((latencies.len() as f64 * q) as usize).copied().unwrap_or_default();
    Line { per_second: latencies.len() as f64 / elapsed.as_secs_f64(), p50: at(0.5), p99: at(0.99) }
}

/// How long the disk below a directory takes to append 16 KiB and make them durable with fdatasync: half of 200 times took at most
/// this long.
///
/// # Panics
/// When a file can't be written there.
#[must_use]
pub fn fdatasync_time(dir: &Path) -> Duration {
    let file = tempfile::tempfile_in(dir).expect("a file to probe");
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let start = Instant::now();
            (&file).write_all(&[b'x'; 16 << 10]).expect("an append");
            file.sync_data().expect("fdatasync");
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[100]
}

/// How long each line is measured: `SECONDS` of the environment, else 3.
#[must_use]
pub fn measured() -> Duration {
    seconds("SECONDS", 3)
}

/// A time that the environment may set, in seconds.
///
/// # Panics
/// When it is set to something else.
#[must_use]
pub fn seconds(name: &str, unless_set: u64) -> Duration {
    let set = std::env::var(name).ok().map(|text| text.parse().expect("a number of seconds"));
    Duration::from_secs(set.unwrap_or(unless_set))
}

/// Has `callers` tasks call again and again for as long as measured; `call` gets the caller's number.
///
/// # Panics
/// When a call does.
pub async fn callers<F>(callers: usize, call: impl Fn(usize) -> F + Clone + Send + 'static) -> Line
where
    F: Future<Output = ()> + Send,
{
    callers_for(measured(), callers, call).await
}

/// The same for some time.
///
/// # Panics
/// When a call does.
pub async fn callers_for<F>(
    time: Duration,
    callers: usize,
    call: impl Fn(usize) -> F + Clone + Send + 'static,
) -> Line
where
    F: Future<Output = ()> + Send,
{
    let stop = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (call, stop) = (call.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    call(caller).await;
                    latencies.push(sent.elapsed());
                }
                latencies
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    summary(latencies, start.elapsed())
}

/// Places an order over HTTP; returns the 201. A shop that is overloaded is asked again when it says so, as customers would.
///
/// # Panics
/// When it is refused for any other reason.
pub async fn order(shop: &Shop, product: &str, method: &str) -> Reply {
    let key = Uuid::now_v7().to_string();
    loop {
        let call = shop.customer.post("/api/v1/orders", &order_of(product, 1, method)).key(&key);
        let reply = call.send().await.expect("an answer");
        if reply.status != 503 || reply.problem() != "overloaded" {
            return reply.expect(201);
        }
        let wait = reply.header("retry-after").parse().expect("how long to wait");
        tokio::time::sleep(Duration::from_secs(wait)).await;
    }
}

/// Places an order with one line, in any shard.
#[must_use]
pub fn place_order() -> CommandRequest {
    let shard = Shard(rand::random_range(0..shards()));
    let id = draw_id_in_shard(DEFAULT_TENANT, "order", shard, shards());
    let sealed = || Sealed::from_text(format!("v1.{}", "A".repeat(54)));
    let line = RequestedLine {
        product_id: Uuid::from_u128(1),
        product_version: 1,
        sku: "MUG-1".into(),
        name: "Enamel mug".into(),
        quantity: 2,
        unit_price: Money::new(1_999, Currency::Usd),
    };
    let command = OrderCommand::Place {
        customer_id: Uuid::from_u128(2),
        lines: vec![line],
        payment_method: "tok_visa".into(),
        shipping_address: ShippingAddress {
            name: sealed(),
            line1: sealed(),
            city: sealed(),
            postal_code: sealed(),
            country: "DE".into(),
        },
        parts: None,
    };
    let stream = StreamId::new(DEFAULT_TENANT, "order", id);
    CommandRequest::new(CommandId::fresh(), "user:0193", vec![Step::create(stream, command)])
}

/// The stock that [`reserve_hot`] takes from.
fn hot_stock() -> StreamId {
    StreamId::new(DEFAULT_TENANT, "inventory", Uuid::from_u128(1))
}

/// Fills the stock that [`reserve_hot`] takes from.
#[must_use]
pub fn fill_hot() -> CommandRequest {
    let plenty = InventoryCommand::SetStock { warehouse: MAIN_WAREHOUSE.into(), on_hand: 1_000_000_000 };
    CommandRequest::new(CommandId::fresh(), "system:bench", vec![Step::new(hot_stock(), plenty)])
}

/// Reserves one piece of one stock, which everybody wants.
#[must_use]
pub fn reserve_hot() -> CommandRequest {
    let command = InventoryCommand::Reserve {
        order_id: Uuid::now_v7(),
        line: 1,
        quantity: 1,
        expires_at: SystemClock.now() + Duration::from_secs(900),
    };
    CommandRequest::new(CommandId::fresh(), "saga:fulfilment", vec![Step::new(hot_stock(), command)])
}
