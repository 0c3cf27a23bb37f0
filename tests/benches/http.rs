//! Durable commands through HTTP, measured against the real release binary on the same cores:
//! `cargo bench -p tests --bench http`.
//!
//! `POST /api/v1/orders` (every order starts its saga, which works beside) and `PUT …/inventory` (no saga), at 1, 64 and 256
//! callers; then POST and GET with the Sync-Token under load, and how long the answer took. `SECONDS=n` sets how long each line is
//! measured (default 5).

#![expect(clippy::unwrap_used, reason = "a benchmark run by hand ends at the first failure")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use reqwest::Method;
use serde_json::json;
use tests::bench::{callers_for, order, print_head, print_line, seconds};
use tests::shop::Shop;

/// One measured call: the shop, the product, a number of its own.
type Call = fn(Arc<Shop>, Arc<str>, u64) -> BoxFuture<'static, ()>;

fn place(shop: Arc<Shop>, product: Arc<str>, _: u64) -> BoxFuture<'static, ()> {
    Box::pin(async move { drop(order(&shop, &product, "tok_visa").await) })
}

fn restock(shop: Arc<Shop>, product: Arc<str>, n: u64) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let path = format!("/api/v1/products/{product}/inventory");
        shop.warehouse.put(&path, &json!({ "on_hand": 500_000_000 + n })).send().await.unwrap().expect(200);
    })
}

fn place_and_get(shop: Arc<Shop>, product: Arc<str>, _: u64) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let placed = order(&shop, &product, "tok_visa").await;
        let get =
            shop.customer.call(Method::GET, placed.header("location")).seen(placed.header("sync-token"));
        get.send().await.unwrap().expect(200);
    })
}

async fn measure(shop: &Arc<Shop>, what: &str, callers: usize, call: Call) {
    let product: Arc<str> = shop.product(&uuid::Uuid::now_v7().to_string(), 100, 400_000_000).await.into();
    let (shop, next) = (Arc::clone(shop), Arc::new(AtomicU64::new(0)));
    let line = callers_for(seconds("SECONDS", 5), callers, move |_| {
        call(Arc::clone(&shop), Arc::clone(&product), next.fetch_add(1, Ordering::Relaxed))
    });
    print_line(what, callers, &line.await);
}

#[tokio::main]
async fn main() {
    let quiet = |start: tests::server::Start| start.set("logging.level", "warn");
    print_head("through HTTP");
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
