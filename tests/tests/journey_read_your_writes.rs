//! POST, then GET with the Sync-Token, again and again under load: never 404, never stale.

use std::sync::Arc;

use reqwest::Method;
use serde_json::json;
use tests::shop::{Shop, ok, order_of};

const CALLERS: u64 = 16;

/// Ten thousand, and a tenth of it in a fast run (`tests/run fast`).
fn rounds() -> u64 {
    if std::env::var("TILLSTREAM_TESTS").is_ok_and(|mode| mode == "fast") { 1_000 } else { 10_000 }
}

// proves: QRY-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_with_the_token_of_a_command_always_sees_the_command() {
    // The wait is bounded by no time that a busy machine may need.
    let shop = Arc::new(Shop::open_with(|start| start.set("http.sync_wait", "5m")).await);
    let product = shop.product("RYW-1", 100, 1_000_000).await;
    let callers = (0..CALLERS).map(|caller| {
        let (shop, product) = (Arc::clone(&shop), product.clone());
        tokio::spawn(async move {
            for round in (caller..rounds()).step_by(usize::try_from(CALLERS).unwrap()) {
                let body = order_of(&product, 1, "tok_visa");
                let placed = shop.customer.post("/api/v1/orders", &body).key(&format!("ryw-{round}"));
                let placed = ok(placed.send().await).expect(201);
                let path = placed.header("location").to_owned();
                let token = placed.header("sync-token").to_owned();
                let seen = ok(shop.customer.call(Method::GET, &path).seen(&token).send().await);
                assert_eq!(seen.expect(200).id(), placed.id());
            }
        })
    });
    for caller in futures::future::join_all(callers).await {
        caller.unwrap();
    }
}

// proves: QRY-1
#[tokio::test]
async fn an_update_is_never_read_stale_under_its_token() {
    let shop = Shop::open_with(|start| start.set("http.sync_wait", "5m")).await;
    let product = shop.product("RYW-2", 100, 5).await;
    let path = format!("/api/v1/products/{product}");
    for cents in 101..200 {
        let body = json!({
            "sku": "RYW-2", "name": "Product RYW-2", "description": "As good as new.", "category": "things",
            "price": { "amount": cents, "currency": "EUR" },
        });
        let updated = ok(shop.admin.put(&path, &body).header("if-match", "*").send().await).expect(200);
        let seen = ok(shop.customer.call(Method::GET, &path).seen(updated.header("sync-token")).send().await);
        assert_eq!(seen.expect(200).number_at("/price/amount"), cents);
    }
}

// proves: QRY-1
#[tokio::test]
async fn a_token_beyond_the_head_waits_and_then_says_so() {
    let shop = Shop::open_with(|start| start.set("http.sync_wait", "300ms")).await;
    for path in ["/api/v1/products", "/api/v1/orders"] {
        let call = shop.customer.call(Method::GET, path).seen("0:999999999");
        let reply = ok(call.send().await).expect(503);
        assert_eq!(reply.problem(), "stale");
        assert!(!reply.header("retry-after").is_empty());
        for malformed in ["", "x", "0", "99:1", "0:-1"] {
            assert_eq!(
                ok(shop.customer.call(Method::GET, path).seen(malformed).send().await).status,
                400,
                "{malformed}"
            );
        }
    }
}
