//! The shop's commands against the real binary: bad input, repeats, versions, ownership; and that a refused request appends
//! nothing.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use domain::inventory::StockView;
use reqwest::Method;
use serde_json::{Value, json};
use tests::client::{Client, Reply};
use tests::server::{Server, Start, eventually, shop};

const PASSWORD: &str = "correct horse battery";
const NOBODY: &str = "0190b5a4-7e1c-7c3a-8d52-0242ac120002";

struct World {
    server: Server,
    admin: Client,
    auditor: Client,
    credentials: std::path::PathBuf,
    _temp: tests::server::Place,
}

impl World {
    async fn start() -> Self {
        let (temp, dir, credentials) = shop();
        let server = Start::serve(&dir).start().unwrap();
        let admin = server.login(&credentials, "admin").await.unwrap();
        let auditor = server.login(&credentials, "auditor").await.unwrap();
        Self { server, admin, auditor, credentials, _temp: temp }
    }

    async fn account(&self, name: &str) -> Client {
        self.server.login(&self.credentials, name).await.unwrap()
    }

    async fn customer(&self, email: &str) -> Client {
        let body = json!({"email": email, "password": PASSWORD, "name": "Ada"});
        let _ = self.server.client().post("/api/v1/users", &body).send().await.unwrap().expect(201);
        self.server.client().login(email, PASSWORD).await.unwrap()
    }

    /// A product with stock; its id.
    async fn product(&self, sku: &str, currency: &str, on_hand: u64) -> String {
        let made = self.admin.post("/api/v1/products", &product(sku, 500, currency)).send().await.unwrap();
        let id = made.expect(201).id();
        let path = format!("/api/v1/products/{id}/inventory");
        let set = self.admin.put(&path, &json!({ "on_hand": on_hand })).send().await.unwrap().expect(200);
        let stock: StockView = serde_json::from_value(set.body).expect("the documented shape");
        assert_eq!((stock.on_hand, stock.total.available), (on_hand, on_hand));
        id
    }

    /// The position of every shard's last event.
    async fn heads(&self) -> Vec<String> {
        let verified = self.auditor.get("/api/v1/audit/verify").await.unwrap().expect(200);
        assert_eq!(verified.body["ok"], true, "{}", verified.text);
        verified.body["shards"].as_array().unwrap().iter().map(|shard| shard["head"].to_string()).collect()
    }
}

fn product(sku: &str, amount: i64, currency: &str) -> Value {
    json!({
        "sku": sku, "name": format!("Product {sku}"), "description": "for tests", "category": "mugs",
        "price": {"amount": amount, "currency": currency}, "attributes": {"colour": "red"},
    })
}

fn order(product: &str, quantity: u64, method: &str) -> Value {
    json!({
        "items": [{"product_id": product, "quantity": quantity}], "payment_method": method,
        "shipping_address": {"name": "Ada", "line1": "1 Main St", "city": "Berlin", "postal_code": "10115", "country": "DE"},
    })
}

fn with(body: &Value, pointer: &str, value: Value) -> Value {
    let mut body = body.clone();
    *body.pointer_mut(pointer).unwrap() = value;
    body
}

#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.problem()), (status, code), "{}", reply.text);
    assert!(reply.header("content-type").starts_with("application/problem+json"), "{reply:?}");
    assert_eq!(reply.number_at("/status"), i64::from(status));
}

fn pointers(reply: &Reply) -> Vec<String> {
    let errors = reply.body["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
}

/// Every kind of bad input is a clear problem, and nothing of it reaches the log.
// proves: SEC-10, ORD-1
#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_and_appends_nothing() {
    let world = World::start().await;
    let ada = world.customer("ada@example.org").await;
    let (dollars, euros) = (world.product("usd", "USD", 10).await, world.product("eur", "EUR", 10).await);
    let heads = world.heads().await;
    let place = async |body: &Value| ada.post("/api/v1/orders", body).key("k").send().await.unwrap();
    let good = order(&dollars, 1, "tok_visa");

    for (pointer, value) in [
        ("/items", json!([])),
        ("/items/0/quantity", json!(0)),
        ("/items/0/quantity", json!(-1)),
        ("/items/0/quantity", json!(1.5)),
        ("/items/0/quantity", json!("1")),
        ("/items/0/quantity", json!(1e300)),
        ("/items/0/product_id", json!("nope")),
        ("/items/0/product_id", json!(NOBODY)),
        ("/payment_method", json!(null)),
        ("/shipping_address/country", json!("Germany")),
        ("/shipping_address/name", json!("")),
    ] {
        let reply = place(&with(&good, pointer, value)).await;
        refused(&reply, 422, "validation-failed");
        assert_eq!(pointers(&reply), [pointer]);
    }
    let mixed = json!([{"product_id": dollars, "quantity": 1}, {"product_id": euros, "quantity": 1}]);
    let reply = place(&with(&good, "/items", mixed)).await;
    refused(&reply, 422, "validation-failed");
    assert_eq!(pointers(&reply), ["/items/1/product_id"]);
    let mut unknown = good.clone();
    unknown["discount"] = json!(100);
    assert_eq!(pointers(&place(&unknown).await), ["/discount"]);

    let raw = async |content_type: &str, body: Vec<u8>| {
        ada.call(Method::POST, "/api/v1/orders").key("k").body(content_type, body).send().await.unwrap()
    };
    for malformed in ["", "{", "nonsense", "{\"items\": [}", "\u{feff}{}"] {
        refused(&raw("application/json", malformed.as_bytes().to_vec()).await, 400, "malformed-json");
    }
    refused(&raw("application/json", b"[]".to_vec()).await, 422, "validation-failed");
    refused(&raw("text/plain", good.to_string().into_bytes()).await, 415, "unsupported-media-type");
    refused(&raw("application/json", vec![b' '; 10 << 20]).await, 413, "body-too-large");
    // Whoever is refused early still gets the answer, also while sending 10 MB.
    let large = || vec![b' '; 10 << 20];
    let anyone = world.server.client();
    let reply = anyone.call(Method::POST, "/api/v1/orders").body("application/json", large()).send().await;
    refused(&reply.unwrap(), 401, "unauthorized");
    let reply = anyone.call(Method::POST, "/api/v1/nothing").body("application/json", large()).send().await;
    refused(&reply.unwrap(), 404, "unknown-route");
    refused(&ada.post("/api/v1/orders", &good).send().await.unwrap(), 400, "idempotency-key-required");
    refused(&ada.post("/api/v1/orders?x=1", &good).key("k").send().await.unwrap(), 400, "bad-parameter");
    let html = ada.post("/api/v1/orders", &good).key("k").header("accept", "text/html");
    refused(&html.send().await.unwrap(), 406, "not-acceptable");
    let twice = good.to_string().replacen('{', r#"{"payment_method":"tok_declined","#, 1);
    let twice = ada.call(Method::POST, "/api/v1/orders").key("k").body("application/json", twice);
    refused(&twice.send().await.unwrap(), 400, "malformed-json");
    let packed = ada.post("/api/v1/orders", &good).key("k").header("content-encoding", "gzip");
    refused(&packed.send().await.unwrap(), 415, "unsupported-media-type");
    refused(&ada.call(Method::PATCH, "/api/v1/orders").send().await.unwrap(), 405, "method-not-allowed");
    refused(&ada.get("/api/v1/nothing").await.unwrap(), 404, "unknown-route");

    let create = async |body: &Value| world.admin.post("/api/v1/products", body).send().await.unwrap();
    for amount in [json!(0), json!(-1), json!(1.5), json!(9_007_199_254_740_992_i64), json!("1")] {
        let reply = create(&with(&product("x", 1, "USD"), "/price/amount", amount)).await;
        refused(&reply, 422, "validation-failed");
        assert_eq!(pointers(&reply), ["/price/amount"]);
    }
    assert_eq!(pointers(&create(&product("x", 1, "XXX")).await), ["/price/currency"]);
    let stock = format!("/api/v1/products/{dollars}/inventory");
    for on_hand in [json!(-1), json!(1.5), json!(1_000_000_001), json!(null)] {
        let reply = world.admin.put(&stock, &json!({ "on_hand": on_hand })).send().await.unwrap();
        refused(&reply, 422, "validation-failed");
    }
    for (client, status, code) in [(&world.server.client(), 401, "unauthorized"), (&ada, 403, "forbidden")] {
        refused(&client.post("/api/v1/products", &json!({})).send().await.unwrap(), status, code);
        refused(&client.put(&stock, &json!({})).send().await.unwrap(), status, code);
    }
    assert_eq!(world.heads().await, heads, "nothing was appended");

    // The largest price times the largest quantity is refused by the order itself.
    let dear = create(&product("dear", 9_007_199_254_740_991, "USD")).await.expect(201).id();
    refused(&place(&order(&dear, 2, "tok_visa")).await, 422, "amount-overflow");
}

// proves: ORD-1
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_stored_answer() {
    let world = World::start().await;
    let (ada, bob) = (world.customer("ada@example.org").await, world.customer("bob@example.org").await);
    let product_id = world.product("a", "USD", 100).await;
    let body = order(&product_id, 2, "tok_visa");
    let first = ada.post("/api/v1/orders", &body).key("k").send().await.unwrap().expect(201);
    assert_eq!((first.text_at("/status"), first.number_at("/total/amount")), ("pending", 1000));
    assert_eq!(first.header("location"), format!("/api/v1/orders/{}", first.id()));
    assert_eq!((first.header("etag"), first.header("idempotency-replayed")), ("\"1\"", ""));

    // The price changes; a repeat still gets what was answered.
    let path = format!("/api/v1/products/{product_id}");
    let dearer = world.admin.put(&path, &product("a", 900, "USD")).header("if-match", "\"1\"").key("u");
    let dearer = dearer.send().await.unwrap().expect(200);
    assert_eq!((dearer.number_at("/price/amount"), dearer.header("etag")), (900, "\"2\""));
    let spaced = serde_json::to_string_pretty(&body).unwrap();
    for key in ["k", "\"k\""] {
        let call = ada.call(Method::POST, "/api/v1/orders").key(key).body("application/json", spaced.clone());
        let repeat = call.send().await.unwrap().expect(201);
        assert_eq!((&repeat.body, repeat.header("idempotency-replayed")), (&first.body, "true"));
    }
    let other = order(&product_id, 3, "tok_visa");
    refused(
        &ada.post("/api/v1/orders", &other).key("k").send().await.unwrap(),
        422,
        "idempotency-key-reused",
    );
    // Another person's key is another key.
    let bobs = bob.post("/api/v1/orders", &body).key("k").send().await.unwrap().expect(201);
    assert_ne!(bobs.id(), first.id());
    assert_eq!(bobs.number_at("/total/amount"), 1800);

    // Simultaneous repeats are one order: the rest waits its turn (409) or gets the stored answer.
    let calls = (0..16).map(|_| ada.post("/api/v1/orders", &body).key("race").send());
    let replies: Vec<Reply> =
        futures::future::join_all(calls).await.into_iter().map(Result::unwrap).collect();
    let mut ids: Vec<String> = replies.iter().filter(|r| r.status == 201).map(Reply::id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert!(replies.iter().all(|r| r.status == 201 || (r.status == 409 && r.problem() == "in-flight")));

    // An update under an old version is stale, unless it is the repeat of an accepted one.
    let put = async |tag: &str, amount| {
        world.admin.put(&path, &product("a", amount, "USD")).header("if-match", tag).send().await.unwrap()
    };
    assert_eq!(put("\"1\"", 700).await.status, 412);
    refused(
        &world.admin.put(&path, &product("a", 700, "USD")).send().await.unwrap(),
        428,
        "precondition-required",
    );
    let repeat = world.admin.put(&path, &product("a", 900, "USD")).header("if-match", "\"1\"").key("u");
    assert_eq!(repeat.send().await.unwrap().expect(200).header("idempotency-replayed"), "true");
    let _ = put("*", 800).await.expect(200);
    let missing = world.admin.put(&format!("/api/v1/products/{NOBODY}"), &json!(1)).send().await.unwrap();
    refused(&missing, 404, "not-found");
}

/// 401, 403, 404, then headers and body.
// proves: SEC-2, SEC-4, ORD-2, PAY-2, SHP-1
#[tokio::test(flavor = "multi_thread")]
async fn checks_come_in_order_and_an_order_goes_its_way() {
    let world = World::start().await;
    let (ada, bob) = (world.customer("ada@example.org").await, world.customer("bob@example.org").await);
    let (support, warehouse) = (world.account("support").await, world.account("warehouse").await);
    let product_id = world.product("a", "USD", 10).await;
    let placed =
        ada.post("/api/v1/orders", &order(&product_id, 2, "tok_visa")).key("k").send().await.unwrap();
    let path = format!("/api/v1/orders/{}", placed.expect(201).id());
    let broken = |client: &Client, method: Method, path: &str| {
        client.call(method, path).body("application/json", "{").send()
    };
    for (method, at) in [(Method::POST, format!("{path}/cancel")), (Method::DELETE, path.clone())] {
        let anyone = world.server.client();
        refused(&broken(&anyone, method.clone(), &at).await.unwrap(), 401, "unauthorized");
        refused(&broken(&bob, method.clone(), &at).await.unwrap(), 404, "not-found");
        refused(&broken(&ada, method.clone(), &at).await.unwrap(), 400, "malformed-json");
    }
    refused(&ada.post("/api/v1/orders/x/cancel", &json!({})).send().await.unwrap(), 404, "not-found");

    let paid = eventually("the order's payment", tests::shop::SETTLES_WITHIN, async || {
        Some(ada.get(&path).await.unwrap()).filter(|order| order.text_at("/status") == "paid")
    })
    .await;
    let refund = format!("/api/v1/payments/{}/refund", paid.text_at("/payment/id"));
    let money = |amount: i64| json!({"amount": {"amount": amount, "currency": "USD"}, "reason": "broken"});
    refused(&broken(&ada, Method::POST, &refund).await.unwrap(), 403, "forbidden");
    let unknown = format!("/api/v1/payments/{NOBODY}/refund");
    refused(&broken(&support, Method::POST, &unknown).await.unwrap(), 404, "not-found");
    refused(&broken(&support, Method::POST, &refund).await.unwrap(), 400, "idempotency-key-required");
    let give =
        async |amount: i64, key: &str| support.post(&refund, &money(amount)).key(key).send().await.unwrap();
    refused(&give(1001, "a").await, 422, "refund-exceeds-capture");
    let given = give(400, "a").await.expect(201);
    assert_eq!((given.number_at("/refunded/amount"), given.number_at("/captured/amount")), (400, 1000));
    assert_eq!(give(400, "a").await.expect(201).body, given.body);
    refused(&give(401, "a").await, 422, "idempotency-key-reused");
    refused(&give(601, "b").await, 422, "refund-exceeds-capture");

    let shipment = format!("/api/v1/shipments/{}", paid.text_at("/shipment/id"));
    refused(&broken(&ada, Method::POST, &format!("{shipment}/dispatch")).await.unwrap(), 403, "forbidden");
    let report =
        async |what: &str| warehouse.post(&format!("{shipment}/{what}"), &json!({})).send().await.unwrap();
    assert_eq!(report("deliver").await.status, 409, "not before it is dispatched");
    assert_eq!(report("dispatch").await.expect(200).text_at("/status"), "dispatched");
    assert_eq!(report("deliver").await.expect(200).text_at("/status"), "delivered");
    eventually("the order's end", tests::shop::SETTLES_WITHIN, async || {
        let status = ada.get(&path).await.unwrap().text_at("/status").to_owned();
        ["delivered", "completed"].contains(&status.as_str()).then_some(())
    })
    .await;
    let late = ada.call(Method::POST, &format!("{path}/cancel")).send().await.unwrap();
    refused(&late, 409, "order-not-cancellable");

    // An empty body and an empty object both do where none is wanted.
    let second =
        ada.post("/api/v1/orders", &order(&product_id, 1, "tok_slow")).key("l").send().await.unwrap();
    let path = format!("/api/v1/orders/{}", second.expect(201).id());
    let cancelled = support.call(Method::DELETE, &path).send().await.unwrap().expect(202);
    assert!(!cancelled.header("sync-token").is_empty());
    let _ = ada.post(&format!("{path}/cancel"), &json!({})).send().await.unwrap().expect(202);
    eventually("the cancellation", tests::shop::SETTLES_WITHIN, async || {
        Some(ada.get(&path).await.unwrap()).filter(|order| order.text_at("/reason") == "customer_request")
    })
    .await;
}

/// A forged, expired or foreign access token opens nothing.
// proves: SEC-1
#[tokio::test(flavor = "multi_thread")]
async fn forged_tokens_open_nothing() {
    let world = World::start().await;
    let ada = world.customer("ada@example.org").await;
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.eyJzdWIiOiJhIiwicm9sZXMiOlsiYWRtaW4iXX0.";
    for token in ["x", "a.b.c", none] {
        let reply = ada.with_token(token).get("/api/v1/orders").await.unwrap();
        refused(&reply, 401, "unauthorized");
        assert!(!reply.header("www-authenticate").is_empty());
    }
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..3 {
        ids.insert(ada.get("/api/v1/orders").await.unwrap().expect(200).header("x-request-id").to_owned());
    }
    assert_eq!(ids.len(), 3, "every answer has a request id of its own");
}
