//! Bad input: each a clear problem, and nothing appended.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use domain::position::Position;
use reqwest::Method;
use serde_json::{Value, json};
use tests::client::{Call, Client, Reply};
use tests::shop::{Shop, address, ok, order_of};

/// One bad request and the answer that it must get.
struct Case {
    name: &'static str,
    call: Call,
    statuses: &'static [u16],
}

fn case(name: &'static str, call: Call, statuses: &'static [u16]) -> Case {
    Case { name, call, statuses }
}

fn check(name: &str, reply: &Reply, statuses: &[u16]) {
    assert!(statuses.contains(&reply.status), "{name}: {} {}", reply.status, reply.text);
    assert_eq!(reply.header("content-type"), "application/problem+json", "{name}");
    assert_eq!(reply.number_at("/status"), i64::from(reply.status), "{name}");
    for field in ["/type", "/title", "/detail"] {
        assert!(!reply.text_at(field).is_empty(), "{name}: {field} is missing in {}", reply.text);
    }
    assert!(!reply.header("x-request-id").is_empty(), "{name}");
}

fn order(customer: &Client, name: &'static str, body: &Value) -> Case {
    case(name, customer.post("/api/v1/orders", body).key(&name.replace(' ', "-")), &[422])
}

fn orders(shop: &Shop, product: &str, in_dollars: &str) -> Vec<Case> {
    let good = order_of(product, 1, "tok_visa");
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let mut unknown_field = good.clone();
    unknown_field["discount"] = json!(100);
    let mut without = good.clone();
    without.as_object_mut().unwrap().remove("shipping_address");
    let lines =
        |n: usize| json!((0..n).map(|_| json!({ "product_id": product, "quantity": 1 })).collect::<Vec<_>>());
    let c = &shop.customer;
    vec![
        order(c, "unknown field", &unknown_field),
        order(c, "missing field", &without),
        order(c, "no items", &with("/items", json!([]))),
        order(c, "items of a wrong type", &with("/items", json!("all"))),
        order(c, "too many items", &with("/items", lines(101))),
        order(c, "negative quantity", &with("/items/0/quantity", json!(-1))),
        order(c, "no quantity", &with("/items/0/quantity", json!(0))),
        order(c, "huge quantity", &with("/items/0/quantity", json!(4_000_000_000_u64))),
        order(c, "broken quantity", &with("/items/0/quantity", json!(1.5))),
        order(c, "quantity as text", &with("/items/0/quantity", json!("1"))),
        order(
            c,
            "unknown product",
            &with("/items/0/product_id", json!("0197a0f0-0000-7000-8000-000000000000")),
        ),
        order(c, "no product id", &with("/items/0/product_id", json!("kettle"))),
        order(c, "country in words", &with("/shipping_address/country", json!("Germany"))),
        order(c, "empty city", &with("/shipping_address/city", json!(""))),
        order(c, "card number", &with("/payment_method", json!("4111111111111111"))),
        order(
            c,
            "mixed currencies",
            &json!({
                "items": [{ "product_id": product, "quantity": 1 }, { "product_id": in_dollars, "quantity": 1 }],
                "payment_method": "tok_visa", "shipping_address": address(),
            }),
        ),
        case("no key", c.post("/api/v1/orders", &good), &[400]),
        case("empty key", c.post("/api/v1/orders", &good).key(""), &[400]),
        case("long key", c.post("/api/v1/orders", &good).key(&"k".repeat(256)), &[400]),
        case(
            "malformed JSON",
            c.call(Method::POST, "/api/v1/orders").key("m").body("application/json", "{\"items\": ["),
            &[400],
        ),
        case(
            "no JSON",
            c.call(Method::POST, "/api/v1/orders").key("t").body("text/plain", "one kettle"),
            &[415],
        ),
        case(
            "10 MB",
            c.call(Method::POST, "/api/v1/orders").key("l").body("application/json", vec![b' '; 10 << 20]),
            &[413],
        ),
        case(
            "nothing acceptable",
            c.post("/api/v1/orders", &good).key("a").header("accept", "text/html"),
            &[406],
        ),
    ]
}

fn products(shop: &Shop) -> Vec<Case> {
    let a = &shop.admin;
    let body =
        |price: Value| json!({ "sku": "X", "name": "X", "description": "", "category": "x", "price": price });
    let price = |amount: Value, currency: &str| body(json!({ "amount": amount, "currency": currency }));
    let post = |name, body: &Value| case(name, a.post("/api/v1/products", body), &[422]);
    vec![
        post("negative price", &price(json!(-1), "EUR")),
        post("free", &price(json!(0), "EUR")),
        post("a price beyond all money", &price(json!(9_007_199_254_740_992_u64), "EUR")),
        post("a price in fractions", &price(json!(9.99), "EUR")),
        post("unknown currency", &price(json!(999), "XXX")),
        post("price as text", &body(json!("9.99 EUR"))),
    ]
}

fn queries(shop: &Shop, product: &str, forged: &str) -> Vec<Case> {
    let c = &shop.customer;
    let get = |name, path: &str, statuses| case(name, c.call(Method::GET, path), statuses);
    let as_token =
        |name, token: &str| case(name, c.with_token(token).call(Method::GET, "/api/v1/orders"), &[401]);
    vec![
        get("broken cursor", "/api/v1/orders?cursor=abc", &[400]),
        get("limit 0", "/api/v1/orders?limit=0", &[400]),
        get("limit 101", "/api/v1/orders?limit=101", &[400]),
        get("limit in words", "/api/v1/products?limit=ten", &[400]),
        get("unknown parameter", "/api/v1/products?colour=red", &[400]),
        get("unknown status", "/api/v1/orders?status=lost", &[400]),
        get("unknown sort", "/api/v1/products?sort=luck", &[400]),
        get("prices the wrong way round", "/api/v1/products?min_price=10&max_price=5", &[400]),
        get("unknown order", "/api/v1/orders/0197a0f0-0000-7000-8000-000000000000", &[404]),
        get("no id", "/api/v1/orders/first", &[404]),
        get("unknown route", "/api/v1/horoscope", &[404]),
        get("another's role", "/api/v1/audit/events", &[403]),
        case("wrong method", c.call(Method::PATCH, "/api/v1/orders"), &[405]),
        case("malformed token", c.call(Method::GET, "/api/v1/orders").seen("yesterday"), &[400]),
        case("unknown shard", c.call(Method::GET, "/api/v1/orders").seen("999:1"), &[400]),
        as_token("no token of ours", "nonsense"),
        as_token("forged token", forged),
        case("nobody", c.anonymous().call(Method::GET, "/api/v1/orders"), &[401]),
        case(
            "a customer sets stock",
            c.put(&format!("/api/v1/products/{product}/inventory"), &json!({ "on_hand": 9 })),
            &[403],
        ),
        case(
            "an update without if-match",
            shop.admin.put(&format!("/api/v1/products/{product}"), &json!({})),
            &[428],
        ),
        case(
            "negative stock",
            shop.warehouse.put(&format!("/api/v1/products/{product}/inventory"), &json!({ "on_hand": -1 })),
            &[422],
        ),
    ]
}

/// The same token with other claims: the signature no longer fits.
fn forged(shop: &Shop, token: &str) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3, "{}", shop.server.base);
    let mut payload: Vec<char> = parts[1].chars().collect();
    let at = payload.len() / 2;
    payload[at] = if payload[at] == 'A' { 'B' } else { 'A' };
    format!("{}.{}.{}", parts[0], payload.into_iter().collect::<String>(), parts[2])
}

// proves: SEC-2, SEC-4, SEC-7, SEC-10, ORD-1, CAT-1
#[tokio::test]
async fn bad_input_is_a_clear_problem_and_appends_nothing() {
    let shop = Shop::open().await;
    let product = shop.product("GOOD-1", 1_000, 10).await;
    let dear = shop.product("DEAR-1", 9_007_199_254_740_991, 10).await;
    let dollars = json!({
        "sku": "USD-1", "name": "Dollar thing", "description": "", "category": "x",
        "price": { "amount": 100, "currency": "USD" },
    });
    let in_dollars = ok(shop.admin.post("/api/v1/products", &dollars).send().await).expect(201).id();
    // Everything has settled before the heads are read.
    let placed = shop.order(&shop.customer, &product, 1, "tok_declined").await;
    let _ = shop.settled(&placed.id(), &["cancelled"]).await;
    let stranger = shop.new_customer("stranger").await;
    let login = json!({ "email": "stranger@customers.example", "password": "correct horse battery" });
    let token = ok(stranger.post("/api/v1/auth/login", &login).send().await).expect(200);
    let forged = forged(&shop, token.text_at("/access_token"));

    saga_ended(&shop, &placed.id()).await;
    let before = events(&shop, &dear).await;
    let path = format!("/api/v1/orders/{}", placed.id());
    let mut cases = orders(&shop, &product, &in_dollars);
    cases.extend(products(&shop));
    cases.extend(queries(&shop, &product, &forged));
    cases.push(order(&shop.customer, "overflow of money", &order_of(&dear, 2, "tok_visa")));
    cases.push(case("another's order", stranger.call(Method::GET, &path), &[404]));
    cases.push(case(
        "another's order, cancelled",
        stranger.call(Method::POST, &format!("{path}/cancel")),
        &[404],
    ));
    for Case { name, call, statuses } in cases {
        let reply = ok(call.send().await);
        check(name, &reply, statuses);
        if reply.status == 405 {
            assert!(reply.header("allow").contains("GET"), "{name}");
        }
        if reply.status == 401 {
            assert!(reply.header("www-authenticate").starts_with("Bearer"), "{name}");
        }
    }
    // Those of looking itself.
    let looking = 2;
    assert_eq!(events(&shop, &dear).await, before + looking, "a refused request appended something");

    // A refused key is free: the same key with a good body is a new order.
    let body = order_of(&product, 1, "tok_visa");
    let reply = ok(shop.customer.post("/api/v1/orders", &body).key("no-items").send().await);
    assert_eq!(reply.status, 201, "{}", reply.text);
}

/// Waits until the order's saga has nothing more to do.
async fn saga_ended(shop: &Shop, order: &str) {
    tests::server::eventually("the saga to end", tests::shop::SETTLES_WITHIN, || async {
        shop.history("fulfilment", order).await.ends_with(&["fulfilment.ended".to_owned()]).then_some(())
    })
    .await;
}

/// How many events the log has, among them one for each of two changes of the product's stock that this makes. Heads may be told as they
/// were a moment ago, shard by shard: a look that shows the second change began after one that showed the first.
async fn events(shop: &Shop, product: &str) -> u64 {
    let mut heads = Vec::new();
    for _ in 0..2 {
        let on_hand = rand::random_range(1_000..1_000_000_u32);
        let path = format!("/api/v1/products/{product}/inventory");
        let change = ok(shop.warehouse.put(&path, &json!({ "on_hand": on_hand })).send().await).expect(200);
        let change: Position = change.header("sync-token").parse().unwrap();
        heads =
            tests::server::eventually("the heads to show a change", tests::shop::SETTLES_WITHIN, || async {
                let heads: Vec<String> = serde_json::from_str(&shop.heads().await).unwrap();
                let heads: Vec<Position> = heads.iter().map(|head| head.parse().unwrap()).collect();
                heads.iter().any(|head| head.shard == change.shard && head.n >= change.n).then_some(heads)
            })
            .await;
    }
    heads.iter().map(|head| head.n).sum()
}

// proves: USR-1
#[tokio::test]
async fn one_address_has_one_account_and_passwords_are_never_echoed() {
    let shop = Shop::open().await;
    let body = |email: &str| json!({ "email": email, "password": "a long secret phrase", "name": "Kim" });
    let client = shop.server.client();
    let twins = ["twin@customers.example", "Twin@Customers.example"];
    let answers =
        futures::future::join_all(twins.map(|email| client.post("/api/v1/users", &body(email)).send())).await;
    let mut statuses: Vec<u16> = answers.into_iter().map(|answer| ok(answer).status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    let again = ok(client.post("/api/v1/users", &body(twins[0])).send().await);
    check("taken address", &again, &[409]);
    assert!(!again.text.contains("secret phrase"));
    let wrong = json!({ "email": twins[0], "password": "not the phrase" });
    check("wrong password", &ok(client.post("/api/v1/auth/login", &wrong).send().await), &[401]);
    for bad in [json!({ "email": "nobody", "password": "x", "name": "" }), json!({ "email": 1 }), json!([])] {
        check("bad sign-up", &ok(client.post("/api/v1/users", &bad).send().await), &[422]);
    }
}

// proves: ORD-1
#[tokio::test]
async fn a_key_means_one_order_whatever_form_it_is_written_in() {
    let shop = Shop::open().await;
    let product = shop.product("KEY-1", 1_000, 10).await;
    let body = order_of(&product, 1, "tok_visa");
    let post = |key: &str, body: &Value| shop.customer.post("/api/v1/orders", body).key(key).send();
    let first = ok(post("cart-7", &body).await).expect(201);
    let again = ok(post("\"cart-7\"", &body).await).expect(201);
    assert_eq!((again.id(), again.header("idempotency-replayed")), (first.id(), "true"));
    check("another body", &ok(post("cart-7", &order_of(&product, 2, "tok_visa")).await), &[422]);
    assert_ne!(ok(post("cart-8", &body).await).expect(201).id(), first.id());
}
