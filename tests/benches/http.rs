//! Durable commands through HTTP, measured against the real release binary on the same cores:
//! `cargo bench -p tests --bench http`.
//!
//! `POST /api/v1/orders` (every order starts its saga, which works beside) and `PUT …/inventory` (no saga), at 1, 64 and 256
//! callers; then POST and GET with the Sync-Token under load, and how long the answer took. `SECONDS=n` sets how long each line is
//! measured (default 5).

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark run by hand prints its table")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use reqwest::Method;
use serde_json::json;
use tests::shop::Shop;

/// One measured call: the shop, the product, a number of its own.
type Call = fn(Arc<Shop>, Arc<str>, u64) -> BoxFuture<'static, ()>;

fn place(shop: Arc<Shop>, product: Arc<str>, _: u64) -> BoxFuture<'static, ()> {
    Box::pin(async move { drop(shop.order(&shop.customer, &product, 1, "tok_visa").await) })
}

fn restock(shop: Arc<Shop>, product: Arc<str>, n: u64) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let path = format!("/api/v1/products/{product}/inventory");
        shop.warehouse.put(&path, &json!({ "on_hand": 500_000_000 + n })).send().await.unwrap().expect(200);
    })
}

fn place_and_get(shop: Arc<Shop>, product: Arc<str>, _: u64) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let placed = shop.order(&shop.customer, &product, 1, "tok_visa").await;
        let get =
            shop.customer.call(Method::GET, placed.header("location")).seen(placed.header("sync-token"));
        get.send().await.unwrap().expect(200);
    })
}

async fn measure(shop: &Arc<Shop>, what: &str, callers: u64, call: Call) {
    let seconds = std::env::var("SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(5);
    let product: Arc<str> = shop.product(&uuid::Uuid::now_v7().to_string(), 100, 400_000_000).await.into();
    let stop = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (shop, product, stop) = (Arc::clone(shop), Arc::clone(&product), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut n = caller;
                while !stop.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    call(Arc::clone(&shop), Arc::clone(&product), n).await;
                    latencies.push(sent.elapsed());
                    n += callers;
                }
                latencies
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    let per_second = latencies.len() as f64 / start.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let ms = |q: f64| latencies[(latencies.len() as f64 * q) as usize].as_secs_f64() * 1e3;
    println!("| {what:<44} | {callers:>7} | {per_second:>9.0} | {:>8.2} | {:>8.2} |", ms(0.5), ms(0.99));
}

#[tokio::main]
async fn main() {
    let quiet = |start: tests::server::Start| start.set("logging.level", "warn");
    println!("| {:<44} | callers | per second | p50 ms   | p99 ms   |", "through HTTP");
    println!("| {:-<44} | ------: | ---------: | -------: | -------: |", "");
    let lines: [(&str, Call); 3] = [
        ("PUT inventory, one hot stock", restock),
        ("POST orders, sagas running beside", place),
        ("POST orders, then GET with its Sync-Token", place_and_get),
    ];
    for (what, call) in lines {
        // A shop of its own, so that no line works off the sagas of another.
        let shop = Arc::new(Shop::open_with(quiet).await);
        for callers in [1, 64, 256] {
            measure(&shop, what, callers, call).await;
        }
    }
}
