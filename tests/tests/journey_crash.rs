//! `kill -9` under load, round after round: nothing acknowledged is lost, nothing is doubled, and the books balance.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tests::client::Client;
use tests::server::{eventually, tillstream};
use tests::shop::{SETTLES_WITHIN, Shop, ok, order_of, pages};

const CALLERS: u64 = 16;
const INITIAL: i64 = 1_000_000;

fn rounds() -> u64 {
    if std::env::var_os("TILLSTREAM_TESTS").is_some_and(|mode| mode == "fast") { 3 } else { 20 }
}

/// What the callers know: of every key whether an order was acknowledged under it.
#[derive(Default)]
struct Known {
    /// Sent: the body that a repeat must send again.
    sent: BTreeMap<String, Value>,
    /// Acknowledged: the order's id.
    acknowledged: BTreeMap<String, String>,
}

fn method(n: u64) -> &'static str {
    match n % 20 {
        3 | 9 | 15 => "tok_declined",
        7 => "tok_insufficient_funds",
        11 => "tok_timeout_captured",
        13 => "tok_slow",
        _ => "tok_visa",
    }
}

/// Orders without a pause until the server is gone.
async fn load(client: Client, product: String, known: Arc<Mutex<Known>>, numbers: Arc<AtomicU64>) {
    loop {
        let n = numbers.fetch_add(1, Ordering::Relaxed);
        let (key, body) =
            (format!("crash-{n}"), order_of(&product, 1 + u32::try_from(n % 3).unwrap(), method(n)));
        known.lock().unwrap().sent.insert(key.clone(), body.clone());
        match client.post("/api/v1/orders", &body).key(&key).send().await {
            Ok(reply) if reply.status == 201 => {
                known.lock().unwrap().acknowledged.insert(key, reply.id());
            }
            Ok(reply) => assert_eq!(reply.status, 503, "{}", reply.text),
            Err(_) => return,
        }
    }
}

/// Lets the callers order until `enough` more orders are acknowledged, and kills the server meanwhile.
async fn crash(
    shop: &mut Shop,
    product: &str,
    known: &Arc<Mutex<Known>>,
    numbers: &Arc<AtomicU64>,
    enough: usize,
) {
    let before = known.lock().unwrap().acknowledged.len();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            tokio::spawn(load(
                shop.customer.clone(),
                product.to_owned(),
                Arc::clone(known),
                Arc::clone(numbers),
            ))
        })
        .collect();
    eventually("orders to be acknowledged", SETTLES_WITHIN, || async {
        (known.lock().unwrap().acknowledged.len() >= before + enough).then_some(())
    })
    .await;
    shop.server.kill().unwrap();
    for caller in callers {
        caller.await.unwrap();
    }
}

// proves: OPS-2, ORD-1, SAG-1, INV-2, PAY-3, P3, P5, P6, P8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_doubled_by_kill_9_under_load() {
    let mut shop = Shop::open().await;
    let product = shop.product("CRASH-1", 1_000, INITIAL.unsigned_abs()).await;
    let known = Arc::new(Mutex::new(Known::default()));
    let numbers = Arc::new(AtomicU64::new(0));
    for round in 0..rounds() {
        // From "hardly begun" to "sagas in full swing".
        let enough = usize::try_from(5 + round * 11 % 90).unwrap();
        crash(&mut shop, &product, &known, &numbers, enough).await;
        shop.restart();
    }

    let known = Arc::into_inner(known).unwrap().into_inner().unwrap();
    assert!(known.acknowledged.len() >= usize::try_from(rounds()).unwrap() * 5);

    // Every key again: what was acknowledged answers the same order, what wasn't becomes one order now at the latest.
    let mut orders: BTreeMap<String, String> = BTreeMap::new();
    for (key, body) in &known.sent {
        let again = ok(shop.customer.post("/api/v1/orders", body).key(key).send().await).expect(201);
        if let Some(id) = known.acknowledged.get(key) {
            assert_eq!(again.id(), *id, "{key}");
            assert_eq!(again.header("idempotency-replayed"), "true", "{key}");
        }
        orders.insert(again.id(), key.clone());
    }
    assert_eq!(orders.len(), known.sent.len(), "one order per key");

    // Every order ends, or waits for the warehouse.
    for order in orders.keys() {
        let _ = shop.settled(order, &["paid", "cancelled", "rejected"]).await;
    }
    let listed = pages(&shop.customer, "/api/v1/orders?limit=100").await;
    let ids: BTreeSet<&str> = listed.iter().map(|order| order["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), listed.len(), "no order is listed twice");
    assert_eq!(ids, orders.keys().map(String::as_str).collect(), "no order that nobody placed");

    let shipped = dispatch_some(&shop, &listed).await;
    balance(&shop, &product, shipped).await;

    assert!(shop.server.terminate().unwrap().success());
    let verified = tillstream(&["verify", "--data-dir", shop.server.dir.to_str().unwrap()]);
    assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);
}

/// Dispatches a few paid orders; answers how many pieces left.
async fn dispatch_some(shop: &Shop, orders: &[Value]) -> i64 {
    let mut pieces = 0;
    for order in orders.iter().filter(|order| order["status"] == "paid").take(10) {
        let path = format!("/api/v1/shipments/{}/dispatch", order["shipment"]["id"].as_str().unwrap());
        shop.post(&shop.warehouse, &path).await.expect(200);
        let _ = shop.settled(order["id"].as_str().unwrap(), &["shipped"]).await;
        pieces += order["items"][0]["quantity"].as_i64().unwrap();
    }
    pieces
}

/// On hand = initial − sold; reserved = paid and not shipped; captured − refunded = what fulfilled orders cost.
async fn balance(shop: &Shop, product: &str, shipped: i64) {
    let orders = pages(&shop.customer, "/api/v1/orders?limit=100").await;
    let with = |statuses: &'static [&str]| {
        orders.iter().filter(move |order| statuses.contains(&order["status"].as_str().unwrap()))
    };
    let pieces = |statuses| with(statuses).map(|o| o["items"][0]["quantity"].as_i64().unwrap()).sum::<i64>();
    assert_eq!(pieces(&["shipped"]), shipped);
    shop.stock(product, INITIAL - shipped, pieces(&["paid"])).await;

    let owed: i64 = with(&["paid", "shipped"]).map(|order| order["total"]["amount"].as_i64().unwrap()).sum();
    let net = |charge: &Value| {
        charge["captured"]["amount"].as_i64().unwrap() - charge["refunded"]["amount"].as_i64().unwrap()
    };
    let charges = shop.charges().await;
    assert_eq!(charges.iter().map(net).sum::<i64>(), owed, "captured − refunded = ledger");
    let mut charged: BTreeMap<&str, u64> = BTreeMap::new();
    for charge in charges.iter().filter(|charge| charge["captured"]["amount"] != 0) {
        *charged.entry(charge["order_id"].as_str().unwrap()).or_default() += 1;
    }
    assert!(charged.values().all(|times| *times == 1), "no order is charged twice");
    for order in with(&["cancelled", "rejected"]) {
        let id = order["id"].as_str().unwrap();
        let left: i64 = charges.iter().filter(|charge| charge["order_id"] == id).map(net).sum();
        assert_eq!(left, 0, "order {id} was not fulfilled and yet charged");
    }
}
