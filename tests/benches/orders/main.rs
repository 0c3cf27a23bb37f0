//! Orders fulfilled, end to end: `cargo bench -p tests --bench orders`, on the embedded backends, or with
//! `TILLSTREAM_TESTS_BACKENDS=engines` on those that the environment names.
//!
//! 64 callers order for `SECONDS` (default 5) from 64 products, one order in ten with a card that is declined; then the last order is
//! awaited. An order counts as fulfilled when it rests: paid with its shipment booked, or compensated. Every step is durable (fsync)
//! before it counts. Then 50 orders a second for `SECONDS`, for the time from placed to paid.
//!
//! On engines the same load runs for `WARM_UP` seconds first (default 120): Java code is compiled as it is used (see `infra/local/README.md`).
//!
//! Beside it, where `POSTGRES_URL` names a PostgreSQL that may be written to: the same order by hand, one transaction a step, and with
//! an outbox and workers that move up to 100 orders a transaction (see `by_hand`). With `--features peers`, the same order on Restate too,
//! which npm installs (see `restate`).
//!
//! `PARTS="tillstream by-hand restate"`, any of them, measures only these.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark run by hand prints its table")]

mod by_hand;
mod process;
mod rest;
#[cfg(feature = "peers")]
mod restate;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tests::bench::{Line, callers_for, order, seconds, summary};
use tests::shop::Shop;
use tokio::time::MissedTickBehavior;

use crate::process::Processes;
use crate::rest::Books;

/// The same allocator as the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Callers at once.
const CALLERS: usize = 64;
/// Products that are ordered.
const PRODUCTS: usize = 64;
/// One order in so many has a card that is declined.
const DECLINED: u64 = 10;
/// Between the full load and the steady one.
const REST: Duration = Duration::from_secs(3);
/// Orders a second while the time to paid is measured.
const RATE: u64 = 50;
/// After so long the last order is given up.
const GIVE_UP: Duration = Duration::from_secs(1_800);

/// What a run over one system showed.
pub(crate) struct Run {
    pub(crate) accepting: Line,
    pub(crate) accepted: u64,
    /// From the first order to the last one's end.
    pub(crate) took: Duration,
    /// From the last acceptance to the last order's end.
    pub(crate) drain: Duration,
    /// By process.
    pub(crate) used: Vec<(String, process::Usage)>,
}

impl Run {
    pub(crate) fn print(&self, what: &str) {
        let fulfilled = self.accepted as f64 / self.took.as_secs_f64();
        println!(
            "{what}: {:.0} accepted/s (p50 {:.1} ms, p99 {:.1} ms), {fulfilled:.0} fulfilled/s, drain {:.1} s",
            self.accepting.per_second,
            self.accepting.p50.as_secs_f64() * 1e3,
            self.accepting.p99.as_secs_f64() * 1e3,
            self.drain.as_secs_f64()
        );
        for (name, used) in &self.used {
            println!(
                "  {name}: {:.2} ms of processor time an order, {} MiB at its highest, {} MiB now",
                used.cpu.as_secs_f64() * 1e3 / self.accepted as f64,
                used.highest >> 20,
                used.resident >> 20
            );
        }
    }
}

fn method(n: u64) -> &'static str {
    if n.is_multiple_of(DECLINED) { "tok_declined" } else { "tok_visa" }
}

/// How long orders are placed.
fn measured() -> Duration {
    seconds("SECONDS", 5)
}

/// Has orders placed; how fast that went, and how many there were.
async fn load(shop: &Arc<Shop>, products: &Arc<Vec<String>>, time: Duration) -> (Line, u64) {
    let next = Arc::new(AtomicU64::new(0));
    let (called, counted, ordered) = (Arc::clone(shop), Arc::clone(&next), Arc::clone(products));
    let accepting = callers_for(time, CALLERS, move |_| {
        let (shop, next, products) = (Arc::clone(&called), Arc::clone(&counted), Arc::clone(&ordered));
        async move {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let product = &products[usize::try_from(n).unwrap() % products.len()];
            order(&shop, product, method(n)).await;
        }
    })
    .await;
    (accepting, next.load(Ordering::Relaxed))
}

async fn full_load(shop: &Arc<Shop>, products: &Arc<Vec<String>>, books: &Books, before: u64) -> Run {
    let (events, frames) = books.history().await;
    let processes = Processes::of_shop(shop.server.pid());
    let start = Instant::now();
    let (accepting, accepted) = load(shop, products, measured()).await;
    let closed = Instant::now();
    books.until_at_rest(before + accepted, GIVE_UP).await;
    let run =
        Run { accepting, accepted, took: start.elapsed(), drain: closed.elapsed(), used: processes.used() };
    run.print("Tillstream");
    let (events_now, frames_now) = books.history().await;
    let an_order = |count: u64| count as f64 / accepted as f64;
    let frames = match frames.zip(frames_now) {
        Some((before, now)) => format!("{:.1}", an_order(now - before)),
        None => "(not counted on engines)".to_owned(),
    };
    println!("  an order: {:.1} events, {frames} frames", an_order(events_now - events));
    run
}

/// Has orders placed at [`RATE`] for as long as measured, waits until each is accepted, and returns how many there were.
pub(crate) async fn at_rate<F>(place: impl Fn(u64) -> F) -> u64
where
    F: Future<Output = ()> + Send + 'static,
{
    let orders = RATE * measured().as_secs();
    let mut pace = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut placing = tokio::task::JoinSet::new();
    for n in 1..=orders {
        pace.tick().await;
        placing.spawn(place(n));
    }
    placing.join_all().await;
    orders
}

/// Prints how long orders at [`RATE`] took from placed to paid.
pub(crate) fn print_paid(times: Vec<Duration>) {
    let line = summary(times, measured());
    println!(
        "  placed to paid at {RATE} orders/s: p50 {:.1} ms, p99 {:.1} ms",
        line.p50.as_secs_f64() * 1e3,
        line.p99.as_secs_f64() * 1e3
    );
}

/// Orders at a steady rate: from placed to paid.
async fn steady(shop: &Arc<Shop>, products: &Arc<Vec<String>>, books: &Books, before: u64) {
    let from = chrono::Utc::now();
    let placed = at_rate(|n| {
        let (shop, products) = (Arc::clone(shop), Arc::clone(products));
        async move {
            let product = &products[usize::try_from(n).unwrap() % products.len()];
            order(&shop, product, method(1)).await;
        }
    })
    .await;
    books.until_at_rest(before + placed, GIVE_UP).await;
    print_paid(books.placed_to_paid(from).await);
}

async fn tillstream() {
    let shop = Arc::new(Shop::open_with(|start| start.set("logging.level", "warn")).await);
    let mut products = Vec::new();
    for n in 0..PRODUCTS {
        products.push(shop.product(&format!("ORDERS-{n}"), 1_999, 100_000_000).await);
    }
    let products = Arc::new(products);
    let books = Books::of(&shop);
    let mut before = 0;
    let warm_up =
        if matches!(books, Books::PostgreSql(_)) { seconds("WARM_UP", 120) } else { Duration::ZERO };
    if !warm_up.is_zero() {
        let (line, accepted) = load(&shop, &products, warm_up).await;
        books.until_at_rest(accepted, GIVE_UP).await;
        println!("warmed up for {} s, {:.0} accepted/s", warm_up.as_secs(), line.per_second);
        before = accepted;
    }
    let run = full_load(&shop, &products, &books, before).await;
    // What the load left behind, as segments to be merged, isn't part of what comes.
    tokio::time::sleep(REST).await;
    steady(&shop, &products, &books, before + run.accepted).await;
}

/// Whether a part is to be measured: all are, unless `PARTS` names some.
fn wanted(part: &str) -> bool {
    std::env::var("PARTS").map_or(true, |parts| parts.split_whitespace().any(|name| name == part))
}

#[tokio::main]
async fn main() {
    #[cfg(feature = "peers")]
    restate::serve_if_asked().await;
    if wanted("tillstream") {
        tillstream().await;
    }
    if wanted("by-hand") {
        match std::env::var("POSTGRES_URL") {
            Ok(url) => by_hand::run(&url).await,
            Err(_) => println!("the orders by hand are left out: POSTGRES_URL names no PostgreSQL"),
        }
    }
    if wanted("restate") {
        #[cfg(feature = "peers")]
        restate::run().await;
        #[cfg(not(feature = "peers"))]
        println!("Restate is left out: --features peers includes it");
    }
}
