//! The queries of the API against the real binary: lists and cursors, ownership, tokens and tags, the auditors' view.

#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use tests::client::{Client, Reply};
use tests::server::{Server, Start, eventually, shop};

/// A shop with its usual accounts, served.
struct World {
    server: Server,
    admin: Client,
    credentials: std::path::PathBuf,
    _temp: tests::server::Place,
}

impl World {
    async fn start() -> Self {
        let (temp, dir, credentials) = shop();
        let server = Start::serve(&dir).start().unwrap();
        let admin = server.login(&credentials, "admin").await.unwrap();
        Self { server, admin, credentials, _temp: temp }
    }

    async fn account(&self, name: &str) -> Client {
        self.server.login(&self.credentials, name).await.unwrap()
    }

    /// Signs a customer up and in.
    async fn customer(&self, email: &str) -> Client {
        let password = "correct horse battery";
        let body = json!({"email": email, "password": password, "name": "Ada"});
        let _ = self.server.client().post("/api/v1/users", &body).send().await.unwrap().expect(201);
        self.server.client().login(email, password).await.unwrap()
    }

    async fn product(&self, sku: &str, category: &str, price: u64) -> Reply {
        let body = json!({
            "sku": sku, "name": format!("Product {sku}"), "description": "for tests", "category": category,
            "price": {"amount": price, "currency": "USD"},
        });
        self.admin.post("/api/v1/products", &body).send().await.unwrap().expect(201)
    }
}

/// GET with a Sync-Token.
async fn get(client: &Client, path: &str, token: &str) -> Reply {
    client.call(Method::GET, path).seen(token).send().await.unwrap()
}

/// GET that must be refused with a problem of this code.
#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.problem()), (status, code), "{}", reply.text);
    assert!(reply.header("content-type").starts_with("application/problem+json"), "{reply:?}");
}

/// Follows a list to its end; every page, with `path`'s own parameters.
async fn pages(client: &Client, path: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    for _ in 0..1000 {
        let page = client.get(&format!("{path}{cursor}")).await.unwrap().expect(200);
        items.extend(page.body["items"].as_array().unwrap().clone());
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
    panic!("{path} doesn't end");
}

fn texts(items: &[Value], field: &str) -> Vec<String> {
    items.iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
}

fn tokens(replies: &[Reply]) -> String {
    replies.iter().map(|reply| reply.header("sync-token")).collect::<Vec<_>>().join(",")
}

// proves: CAT-1, CAT-2, INV-3, SEC-10
#[tokio::test(flavor = "multi_thread")]
async fn the_shop_window_pages_filters_and_refuses() {
    let world = World::start().await;
    let anyone = world.server.client();
    let mut made = Vec::new();
    for (sku, category, price) in
        [("a", "mugs", 500), ("b", "mugs", 100), ("c", "tea", 400), ("d", "mugs", 200), ("e", "tea", 300)]
    {
        made.push(world.product(sku, category, price).await);
    }
    let (token, ids) = (tokens(&made), made.iter().map(Reply::id).collect::<Vec<_>>());

    let first = get(&anyone, "/api/v1/products?limit=2&sort=price", &token).await.expect(200);
    assert_eq!(texts(first.body["items"].as_array().unwrap(), "sku"), ["b", "d"]);
    for (sort, skus) in [
        ("price", ["b", "d", "e", "c", "a"]),
        ("-price", ["a", "c", "e", "d", "b"]),
        ("created", ["a", "b", "c", "d", "e"]),
        ("name", ["a", "b", "c", "d", "e"]),
    ] {
        for limit in [1, 2, 5, 100] {
            let items = pages(&anyone, &format!("/api/v1/products?limit={limit}&sort={sort}")).await;
            assert_eq!(texts(&items, "sku"), skus, "{sort} by {limit}");
        }
    }
    let cheap = pages(&anyone, "/api/v1/products?category=mugs&min_price=200&max_price=500").await;
    assert_eq!(texts(&cheap, "sku"), ["a", "d"]);

    let next = first.text_at("/next_cursor");
    for path in [
        format!("/api/v1/products?cursor={next}"),
        format!("/api/v1/products?sort=-price&cursor={next}"),
        format!("/api/v1/products?sort=price&category=tea&cursor={next}"),
        format!("/api/v1/products/search?sort=price&cursor={next}"),
        format!("/api/v1/products?sort=price&cursor={}", &next[1..]),
        format!("/api/v1/products?sort=price&cursor={}", &next[..next.len() - 1]),
        "/api/v1/products?cursor=".to_owned(),
    ] {
        refused(&anyone.get(&path).await.unwrap(), 400, "bad-cursor");
    }
    for query in [
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=-1",
        "limit=",
        "sort=best",
        "sort=",
        "colour=red",
        "limit=1&limit=2",
        "min_price=-1",
        "min_price=1.5",
        "max_price=x",
        "min_price=2&max_price=1",
        "category=%FF",
        "q=mug",
    ] {
        refused(&anyone.get(&format!("/api/v1/products?{query}")).await.unwrap(), 400, "bad-parameter");
    }

    let found = get(&anyone, "/api/v1/products/search?q=product&limit=2", &token).await.expect(200);
    assert_eq!(found.number_at("/total"), 5);
    assert_eq!(
        found.body["facets"]["category"],
        json!([{"value": "mugs", "count": 3}, {"value": "tea", "count": 2}])
    );
    let mut all = texts(&pages(&anyone, "/api/v1/products/search?q=product&limit=2").await, "sku");
    all.sort();
    assert_eq!(all, ["a", "b", "c", "d", "e"]);
    refused(&anyone.get("/api/v1/products/search?sort=best").await.unwrap(), 400, "bad-parameter");

    let path = format!("/api/v1/products/{}", ids[0]);
    let product = anyone.get(&path).await.unwrap().expect(200);
    assert_eq!((product.header("etag"), product.body.clone()), ("\"1\"", made[0].body.clone()));
    for (tags, status) in [
        ("\"1\"", 304),
        ("W/\"1\"", 304),
        ("\"9\", \"1\"", 304),
        (",\"1\"", 304),
        ("*", 304),
        (",", 200),
        ("\"2\"", 200),
        ("1", 400),
    ] {
        let reply = anyone.call(Method::GET, &path).header("if-none-match", tags).send().await.unwrap();
        assert_eq!(reply.status, status, "{tags}");
        assert!(status != 304 || (reply.text.is_empty() && reply.header("etag") == "\"1\""), "{reply:?}");
    }
    for id in ["x", "0190b5a4-7e1c-7c3a-8d52-0242ac120002", &ids[0][1..]] {
        refused(&anyone.get(&format!("/api/v1/products/{id}")).await.unwrap(), 404, "not-found");
    }

    let stock = world
        .admin
        .put(&format!("{path}/inventory"), &json!({"on_hand": 7}))
        .send()
        .await
        .unwrap()
        .expect(200);
    let path = format!("/api/v1/inventory/availability?product_id={}&product_id={}", ids[1], ids[0]);
    let answer = get(&anyone, &path, stock.header("sync-token")).await.expect(200);
    assert_eq!(
        answer.body["items"],
        json!([
            {"product_id": ids[1], "on_hand": 0, "reserved": 0, "available": 0},
            {"product_id": ids[0], "on_hand": 7, "reserved": 0, "available": 7},
        ])
    );
    for query in ["", "?product_id=x", &format!("?{}", vec![format!("product_id={}", ids[0]); 101].join("&"))]
    {
        let reply = anyone.get(&format!("/api/v1/inventory/availability{query}")).await.unwrap();
        refused(&reply, 400, "bad-parameter");
    }
}

// proves: QRY-1, ORD-1, SEC-4, USR-2
#[tokio::test(flavor = "multi_thread")]
async fn resources_are_their_owners_and_tokens_are_waited_for() {
    let world = World::start().await;
    let (ada, bob) = (world.customer("ada@example.org").await, world.customer("bob@example.org").await);
    let support = world.account("support").await;
    let product = world.product("a", "mugs", 500).await.id();
    let stock = json!({"on_hand": 10});
    let path = format!("/api/v1/products/{product}/inventory");
    let _ = world.admin.put(&path, &stock).send().await.unwrap().expect(200);

    let mut orders = Vec::new();
    for n in 0..3 {
        let body = json!({
            "items": [{"product_id": product, "quantity": 1}], "payment_method": "tok_visa",
            "shipping_address": {"name": "Ada", "line1": "1 Main St", "city": "Berlin", "postal_code": "10115", "country": "DE"},
        });
        let placed =
            ada.post("/api/v1/orders", &body).key(&format!("k{n}")).send().await.unwrap().expect(201);
        // Read your writes: never 404, never older than the answer.
        let path = format!("/api/v1/orders/{}", placed.id());
        let read = get(&ada, &path, placed.header("sync-token")).await.expect(200);
        assert!(read.number_at("/version") >= 1);
        orders.push(placed);
    }
    let path = format!("/api/v1/orders/{}", orders[0].id());
    refused(&bob.get(&path).await.unwrap(), 404, "not-found");
    refused(&world.server.client().get(&path).await.unwrap(), 401, "unauthorized");
    let _ = support.get(&path).await.unwrap().expect(200);
    let _ = world.admin.get(&path).await.unwrap().expect(200);

    let ids: Vec<String> = orders.iter().map(Reply::id).collect();
    assert_eq!(texts(&pages(&ada, "/api/v1/orders?limit=2").await, "id"), ids, "in order of placing");
    assert!(pages(&bob, "/api/v1/orders?limit=2").await.is_empty());
    assert_eq!(texts(&pages(&world.admin, "/api/v1/orders?limit=1").await, "id"), ids);
    let page = ada.get("/api/v1/orders?limit=1").await.unwrap().expect(200);
    let borrowed = format!("/api/v1/orders?cursor={}", page.text_at("/next_cursor"));
    refused(&bob.get(&borrowed).await.unwrap(), 400, "bad-cursor");
    refused(&ada.get("/api/v1/orders?status=lost").await.unwrap(), 400, "bad-parameter");

    let paid = eventually("the order's payment", tests::shop::SETTLES_WITHIN, async || {
        let order = ada.get(&path).await.unwrap();
        (order.text_at("/status") == "paid").then_some(order)
    })
    .await;
    for (kind, id) in [("payments", paid.text_at("/payment/id")), ("shipments", paid.text_at("/shipment/id"))]
    {
        let path = format!("/api/v1/{kind}/{id}");
        let own = eventually("its own read model", tests::shop::SETTLES_WITHIN, async || {
            Some(ada.get(&path).await.unwrap()).filter(|reply| reply.status == 200)
        })
        .await;
        assert_eq!(own.text_at("/order_id"), ids[0]);
        refused(&bob.get(&path).await.unwrap(), 404, "not-found");
        let _ = support.get(&path).await.unwrap().expect(200);
        refused(&ada.get(&format!("{path}?x=1")).await.unwrap(), 400, "bad-parameter");
    }

    let me = ada.get("/api/v1/users/me").await.unwrap().expect(200);
    assert_eq!((me.text_at("/email"), me.text_at("/name")), ("ada@example.org", "Ada"));
    assert_eq!(me.header("etag"), format!("\"{}\"", me.number_at("/version")));

    for token in ["x", "1", "1:", "1:2,", "99999:1", "999:1"] {
        refused(&get(&ada, "/api/v1/orders", token).await, 400, "bad-sync-token");
    }
    let beyond = get(&ada, "/api/v1/orders", "0:999999999").await;
    refused(&beyond, 503, "stale");
    assert!(!beyond.header("retry-after").is_empty());
}

// proves: AUD-1, AUD-2, AUD-3, SEC-2
#[tokio::test(flavor = "multi_thread")]
async fn auditors_see_every_event_and_every_state() {
    let world = World::start().await;
    let auditor = world.account("auditor").await;
    let mut token = String::new();
    let created = world.product("a", "mugs", 100).await;
    let path = format!("/api/v1/products/{}", created.id());
    for (version, price) in [(1, 200), (2, 300)] {
        let body = json!({
            "sku": "a", "name": "Product a", "description": "for tests", "category": "mugs",
            "price": {"amount": price, "currency": "USD"},
        });
        let call = world.admin.put(&path, &body).header("if-match", &format!("\"{version}\""));
        token = call.send().await.unwrap().expect(200).header("sync-token").to_owned();
    }
    let stream = format!("/api/v1/audit/streams/product/{}", created.id());
    let id = uuid::Uuid::nil();
    let one = format!("/api/v1/audit/verifications/{id}");
    for path in ["/api/v1/audit/events", "/api/v1/audit/verify", &one, &stream, &format!("{stream}/events")] {
        refused(&world.admin.get(path).await.unwrap(), 403, "forbidden");
        refused(&world.server.client().get(path).await.unwrap(), 401, "unauthorized");
    }

    let seen = get(&auditor, &format!("{stream}/events"), &token).await.expect(200);
    let events = seen.body["items"].as_array().unwrap().clone();
    assert_eq!(texts(&events, "type"), ["product.created", "product.price_changed", "product.price_changed"]);
    assert_eq!(pages(&auditor, &format!("{stream}/events?limit=1")).await, events);
    assert!(events.iter().all(|event| event.as_object().unwrap().values().all(|value| !value.is_null())));

    for (index, event) in events.iter().enumerate() {
        let (version, time) = (index + 1, event["time"].as_str().unwrap());
        let by_version = auditor.get(&format!("{stream}?version={version}")).await.unwrap().expect(200);
        assert_eq!(by_version.body["position"], event["position"]);
        assert_eq!(by_version.number_at("/state/price/amount"), (version as i64) * 100);
        let by_time = auditor.get(&format!("{stream}?at={time}")).await.unwrap().expect(200);
        assert_eq!(by_time.body, by_version.body, "inclusive");
    }
    assert_eq!(auditor.get(&stream).await.unwrap().expect(200).number_at("/version"), 3);
    for query in ["version=0", "version=4", "at=2001-01-01T00:00:00Z"] {
        refused(&auditor.get(&format!("{stream}?{query}")).await.unwrap(), 404, "not-found");
    }
    for query in ["version=x", "at=yesterday", "at=2026-01-01T00:00:00Z&version=1", "since=1"] {
        refused(&auditor.get(&format!("{stream}?{query}")).await.unwrap(), 400, "bad-parameter");
    }
    for path in ["/api/v1/audit/streams/product/x", "/api/v1/audit/streams/teapot/x/events"] {
        refused(&auditor.get(path).await.unwrap(), 404, "not-found");
    }

    // The first page pins the heads: what is decided meanwhile is not in the list, and paging ends.
    let before = pages(&auditor, "/api/v1/audit/events?limit=100").await;
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = auditor.get(&format!("/api/v1/audit/events?limit=7{cursor}")).await.unwrap().expect(200);
        listed.extend(page.body["items"].as_array().unwrap().clone());
        let later = world.product(&format!("later{}", listed.len()), "mugs", 100).await;
        let _ = get(&auditor, "/api/v1/audit/events?limit=1", later.header("sync-token")).await.expect(200);
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(listed, before);
    let ids: BTreeSet<_> = texts(&listed, "id").into_iter().collect();
    assert_eq!(ids.len(), listed.len(), "each once");

    let place = events[1]["position"].as_str().unwrap();
    let from = auditor.get(&format!("/api/v1/audit/events?from={place}")).await.unwrap().expect(200);
    assert_eq!(from.body["items"][0], events[1], "from is inclusive");
    let correlation = events[0]["correlation_id"].as_str().unwrap();
    let actor = events[0]["actor"].as_str().unwrap();
    let same = pages(&auditor, &format!("/api/v1/audit/events?correlation_id={correlation}")).await;
    assert_eq!(texts(&same, "type"), ["sku_claim.claimed", "product.created"]);
    assert_eq!(same[1], events[0]);
    let path = format!("/api/v1/audit/events?type=product.price_changed&actor={actor}");
    assert_eq!(pages(&auditor, &path).await, events[1..]);
    for query in ["from=x", "from=999:1", "correlation_id=x", "kind=order"] {
        refused(&auditor.get(&format!("/api/v1/audit/events?{query}")).await.unwrap(), 400, "bad-parameter");
    }

    let report = auditor.get("/api/v1/audit/verify").await.unwrap().expect(200);
    assert_eq!(
        (&report.body["ok"], &report.body["first_fault"]),
        (&json!(true), &Value::Null),
        "{}",
        report.text
    );
    let shards = report.body["shards"].as_array().unwrap();
    assert!(shards.iter().any(|shard| shard["head"] != format!("{}:0", shard["shard"])));
    let as_of = report.text_at("/as_of").to_owned();

    // As a job.
    let path = "/api/v1/audit/verifications";
    let started = auditor.post(path, &json!({})).send().await.unwrap().expect(202);
    let place = started.header("location").to_owned();
    assert_eq!(place, format!("{path}/{}", started.id()));
    let ended = loop {
        let now = auditor.get(&place).await.unwrap().expect(200);
        if now.body["status"] != "running" {
            break now;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(
        (&ended.body["status"], &ended.body["first_fault"]),
        (&json!("ok"), &Value::Null),
        "{}",
        ended.text
    );
    assert!(
        ended.text_at("/started_at") > as_of.as_str()
            && ended.text_at("/ended_at") > ended.text_at("/started_at")
    );
    let verified = ended.body["verified"].as_array().unwrap();
    assert_eq!(verified.len(), shards.len());
    for (through, shard) in verified.iter().zip(shards) {
        assert_eq!((&through["shard"], &through["through"]), (&shard["shard"], &shard["head"]));
    }
    refused(&auditor.post(path, &json!({"from": 1})).send().await.unwrap(), 422, "validation-failed");
    refused(&auditor.get(&format!("{path}/{}", uuid::Uuid::nil())).await.unwrap(), 404, "not-found");
}

// proves: EVT-4
#[tokio::test(flavor = "multi_thread")]
async fn a_parked_stream_is_refused_and_cursors_survive_a_restart() {
    let mut world = World::start().await;
    let (parked, other) = (world.product("a", "mugs", 100).await, world.product("b", "mugs", 200).await);
    let token = tokens(&[parked.clone(), other.clone()]);
    let first = get(&world.server.client(), "/api/v1/products?limit=1", &token).await.expect(200);
    let searched = async |sort: &str| {
        let path = format!("/api/v1/products/search?q=product&limit=1&sort={sort}");
        let found = get(&world.server.client(), &path, &token).await.expect(200);
        format!("{path}&cursor={}", found.text_at("/next_cursor"))
    };
    let (by_price, by_relevance) = (searched("price").await, searched("relevance").await);
    assert!(world.server.terminate().unwrap().success());

    let read = rusqlite::Connection::open(world.server.dir.join("read.db")).unwrap();
    let letter = "INSERT INTO dead_letters VALUES ('products', 0, 999999, 'default', 'product', ?1, 2, x'00', 'test', 0)";
    read.execute(letter, [parked.id()]).unwrap();
    drop(read);
    let server = Start::serve(&world.server.dir).start().unwrap();
    let anyone = server.client();

    let reply = anyone.get(&format!("/api/v1/products/{}", parked.id())).await.unwrap();
    refused(&reply, 503, "stream-parked");
    assert!(!reply.header("retry-after").is_empty());
    let _ = anyone.get(&format!("/api/v1/products/{}", other.id())).await.unwrap().expect(200);
    let path = format!("/api/v1/products?limit=1&cursor={}", first.text_at("/next_cursor"));
    let second = anyone.get(&path).await.unwrap().expect(200);
    assert_eq!(second.text_at("/items/0/id"), other.id());

    // The view that a search goes on with doesn't survive: where only scores say what comes next, the client is told.
    refused(&anyone.get(&by_relevance).await.unwrap(), 410, "cursor-expired");
    let second = anyone.get(&by_price).await.unwrap().expect(200);
    assert_eq!(second.text_at("/items/0/id"), other.id());
    assert_eq!(second.body["next_cursor"], Value::Null);
}
