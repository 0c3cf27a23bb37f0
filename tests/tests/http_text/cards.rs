//! Card numbers are refused at every door, stored nowhere, logged nowhere and never repeated.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tests::client::Reply;
use tests::server::eventually;

use super::world::{PASSWORD, World, order, product, refused, with};

/// No part of the number comes back, in whatever digits.
#[track_caller]
fn silent(reply: &Reply) {
    let headers = format!("{:?}", reply.headers);
    for text in [&reply.text, &headers] {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        assert!(!digits.contains("111111111111"), "{text}");
    }
}

// proves: SEC-7
#[tokio::test(flavor = "multi_thread")]
async fn no_field_of_any_body_takes_a_card_number() {
    let world = World::start().await;
    let ada = world.customer("ada@example.org").await;
    let (mug, _) = world.product("MUG-1").await;
    let path = format!("/api/v1/products/{mug}/inventory");
    world.admin.put(&path, &json!({"on_hand": 100})).send().await.unwrap().expect(200);
    let support = world.account("support").await;
    let placed = ada.post("/api/v1/orders", &order(&mug)).key("first").send().await.unwrap().expect(201);
    let anyone = world.server.client();
    let person = json!({"email": "bob@example.org", "password": PASSWORD, "name": "Bob"});
    let stock = json!({"on_hand": 3, "warehouse": "main"});
    for card in [
        "4111111111111111",
        "4111 1111 1111 1111 12/27",
        "Main St 5 4111 1111 1111 1111",
        "4111.1111.1111.1111",
        "4111\u{a0}1111\u{a0}1111\u{a0}1111",
        "４１１１ １１１１ １１１１ １１１１",
        "4111\u{200b}1111\u{2060}1111\u{ad}1111",
        "٤١١١١١١١١١١١١١١١",
    ] {
        for (what, body, pointer) in [
            ("/api/v1/users", &person, "/name"),
            ("/api/v1/products", &product("X-1"), "/sku"),
            ("/api/v1/products", &product("X-1"), "/name"),
            ("/api/v1/products", &product("X-1"), "/description"),
            ("/api/v1/products", &product("X-1"), "/category"),
            ("/api/v1/products", &product("X-1"), "/attributes/colour"),
            ("/api/v1/orders", &order(&mug), "/payment_method"),
            ("/api/v1/orders", &order(&mug), "/shipping_address/name"),
            ("/api/v1/orders", &order(&mug), "/shipping_address/line1"),
            ("/api/v1/orders", &order(&mug), "/shipping_address/city"),
            ("/api/v1/orders", &order(&mug), "/shipping_address/postal_code"),
        ] {
            let caller = if what.ends_with("orders") { &ada } else { &world.admin };
            let call = caller.post(what, &with(body, pointer, card)).key("k");
            let reply = call.send().await.unwrap();
            assert_eq!(reply.status, 422, "{what} {pointer} {card}: {}", reply.text);
            silent(&reply);
        }
        let path = format!("/api/v1/products/{mug}/inventory");
        let reply = world.admin.put(&path, &with(&stock, "/warehouse", card)).send().await.unwrap();
        refused(&reply, 422, "card-number-refused");
        silent(&reply);
        // An attribute's name, an unknown field's, and one that is there twice.
        let named = with(&product("X-1"), "/attributes", json!({card: "red"}));
        let mut unknown = product("X-1");
        unknown[card] = Value::from(1);
        for body in [named, unknown] {
            let reply = world.create(&body).await;
            assert_eq!(reply.status, 422, "{}", reply.text);
            silent(&reply);
        }
        let twice = format!("{{\"{card}\": 1, \"{card}\": 2}}");
        let reply =
            world.admin.call(Method::POST, "/api/v1/products").body("application/json", twice).send().await;
        let reply = reply.unwrap();
        assert_eq!(reply.status, 400);
        silent(&reply);
    }
    let reply = world.create(&with(&product("X-1"), "/price/amount", 4_111_111_111_111_111_i64)).await;
    refused(&reply, 422, "card-number-refused");
    let reply =
        anyone.post("/api/v1/users", &with(&person, "/email", "4111111111111111@example.org")).send().await;
    refused(&reply.unwrap(), 422, "card-number-refused");
    // The refund's payment is looked for first, so a real one is needed.
    let path = format!("/api/v1/orders/{}", placed.id());
    let payment = eventually("the order's payment", Duration::from_secs(60), async || {
        let order = ada.get(&path).await.unwrap().body;
        order.pointer("/payment/id").and_then(Value::as_str).map(str::to_owned)
    })
    .await;
    for reason in ["card 4111 1111 1111 1111 12/27", "4111-1111-1111-1111-123"] {
        let refund = json!({"amount": {"amount": 1, "currency": "EUR"}, "reason": reason});
        let path = format!("/api/v1/payments/{payment}/refund");
        let reply = support.post(&path, &refund).key("r").send().await.unwrap();
        refused(&reply, 422, "card-number-refused");
        silent(&reply);
    }

    // What is none passes: telephones, orders, IBANs, articles.
    for (n, line) in [
        "Main St 5, tel. +49 151 12345678",
        "+49 30 1234567, +49 30 1234568",
        "IBAN DE89 3704 0044 0532 0130 00",
        "order 0190b5a4-7e1c-7c3a-8d52-0242ac120002, EAN 4006381333931",
        "ISBN 978-3-16-148410-0",
    ]
    .into_iter()
    .enumerate()
    {
        let body = with(&order(&mug), "/shipping_address/line1", line);
        ada.post("/api/v1/orders", &body).key(&format!("ok-{n}")).send().await.unwrap().expect(201);
    }
    let log = world.log().await;
    assert!(!log.contains("1111111") && !log.contains("1111 1111") && !log.contains("1111.1111"));
    assert!(!world.diary().contains("1111111"), "the program's own log");
}

// proves: SEC-7
#[tokio::test(flavor = "multi_thread")]
async fn no_header_path_or_parameter_takes_a_card_number() {
    let world = World::start().await;
    let ada = world.customer("ada@example.org").await;
    let (mug, _) = world.product("MUG-1").await;
    for key in ["4111111111111111", "\"4111 1111 1111 1111\"", "pay-4111-1111-1111-1111"] {
        let reply = ada.post("/api/v1/orders", &order(&mug)).key(key).send().await.unwrap();
        refused(&reply, 400, "card-number-refused");
        silent(&reply);
    }
    for path in [
        "/api/v1/orders/4111111111111111",
        "/api/v1/orders/4111%201111%201111%201111",
        "/api/v1/orders?status=4111111111111111",
        "/api/v1/orders?4111111111111111=x",
        "/api/v1/orders?cursor=4111-1111-1111-1111",
        "/api/v1/products/search?q=4111+1111+1111+1111",
        "/api/v1/products/search?q=%EF%BC%94111%C2%A01111%E2%80%8B1111%E2%80%931111",
        "/api/v1/products?category=4111.1111.1111.1111",
    ] {
        let reply = ada.get(path).await.unwrap();
        refused(&reply, 400, "card-number-refused");
        silent(&reply);
    }
    let auditor = world.account("auditor").await;
    let reply = auditor.get("/api/v1/audit/streams/order/4111111111111111/events").await.unwrap();
    refused(&reply, 400, "card-number-refused");

    // These two are for machines, which must not fail by them: they are replaced.
    let trace = "00-00000000000000004111111111111111-00f067aa0ba902b7-01";
    let call = ada.post("/api/v1/orders", &order(&mug)).key("ok");
    let call = call.header("x-request-id", "4111-1111-1111-1111").header("traceparent", trace);
    let reply =
        call.header("tracestate", "v=4111111111111111").header("user-agent", "4111111111111111").send().await;
    let reply = reply.unwrap().expect(201);
    assert_ne!(reply.header("x-request-id"), "4111-1111-1111-1111");
    silent(&reply);

    // Times and ids of machines are keys and request ids as ever.
    for id in
        ["1764508800123456789", "41111111-1111-4111-8111-111111111111", "4bf92f3577b34da6a3ce929d0e0e4736"]
    {
        let call = ada.post("/api/v1/orders", &order(&mug)).key(id).header("x-request-id", id);
        assert_eq!(call.send().await.unwrap().expect(201).header("x-request-id"), id);
    }
    let log = world.log().await;
    assert!(!log.contains("41111111-1111-1111") && !log.contains("4111111111111111"), "the log");
    assert!(!world.diary().contains("4111111111111111") && !world.diary().contains("4111-1111-1111-1111"));
}

// proves: SEC-7
#[tokio::test(flavor = "multi_thread")]
async fn only_tokens_of_the_provider_pay() {
    let world = World::start().await;
    let ada = world.customer("ada@example.org").await;
    let (mug, _) = world.product("MUG-1").await;
    let pay = async |method: &str| {
        let body = with(&order(&mug), "/payment_method", method);
        ada.post("/api/v1/orders", &body).key(&format!("k-{method:?}")).send().await.unwrap()
    };
    for method in [
        "visa",
        "Visa_1",
        "tok_",
        "_visa",
        "tok visa",
        "tok-visa",
        "tok__visa",
        "iban DE89370400440532013000",
    ] {
        let reply = {
            let body = with(&order(&mug), "/payment_method", method);
            ada.post("/api/v1/orders", &body).key("bad").send().await.unwrap()
        };
        refused(&reply, 422, "validation-failed");
        assert_eq!(super::world::pointers(&reply), ["/payment_method"], "{method}");
    }
    for method in [
        "tok_visa",
        "tok_declined",
        "tok_insufficient_funds",
        "tok_slow",
        "tok_refused",
        "pm_1MqLiJLkdIwHu7ix",
    ] {
        pay(method).await.expect(201);
    }
}
