//! Money, keys and tags as clients see them, on either family of backends: one command under one key, tags that name the body,
//! prices with their currency, and what people write about people.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use reqwest::Method;
use serde_json::{Value, json};
use tests::client::{Client, Reply};
use tests::server::eventually;
use tests::shop::{SETTLES_WITHIN, Shop, ok, order_of, pages};

const SECRET: &str = "Zoltan was rude to me";

fn refund(amount: i64, reason: &str) -> Value {
    json!({"amount": {"amount": amount, "currency": "EUR"}, "reason": reason})
}

/// A paid order of two pieces for 10.00 each, and its customer's name for the payment.
async fn paid(shop: &Shop, sku: &str) -> Reply {
    let product = shop.product(sku, 1_000, 10).await;
    let placed = shop.order(&shop.customer, &product, 2, "tok_visa").await;
    shop.settled(&placed.id(), &["paid"]).await
}

/// The same id in other spellings, and percent-encoded.
fn spellings(id: &str) -> Vec<String> {
    let uuid = uuid::Uuid::parse_str(id).unwrap();
    vec![
        id.to_owned(),
        id.to_uppercase(),
        uuid.simple().to_string(),
        uuid.urn().to_string(),
        format!("%7b{id}%7D"),
        id.replace('-', "%2D"),
        id.replace('0', "%30"),
        id.bytes().map(|byte| format!("%{byte:02X}")).collect(),
    ]
}

async fn conditional(client: &Client, path: &str, tag: &str) -> Reply {
    ok(client.call(Method::GET, path).header("if-none-match", tag).send().await)
}

// proves: PAY-2, SEC-4, ORD-1
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_one_command_however_its_path_is_written() {
    let shop = Shop::open().await;
    let order = paid(&shop, "KEY-1").await;
    let payment = order.text_at("/payment/id").to_owned();
    let mut answers = Vec::new();
    for (n, id) in spellings(&payment).into_iter().enumerate() {
        let path = format!("/api/v1/payments/{id}/refund");
        let key = if n % 2 == 0 { "once" } else { "\"once\"" };
        let given = ok(shop.admin.post(&path, &refund(100, "a scratch")).key(key).send().await).expect(201);
        assert_eq!(given.header("location"), format!("/api/v1/payments/{payment}"), "{id}");
        assert_eq!(given.header("idempotency-replayed") == "true", n > 0, "{id}");
        answers.push(given.body);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "one refund, one answer");
    assert_eq!(answers[0]["refunded"]["amount"], 100);
    // The same key on another thing, or for another thing to do, is another command.
    let shipment = order.text_at("/shipment/id").to_owned();
    for id in spellings(&shipment) {
        let path = format!("/api/v1/shipments/{id}/dispatch");
        let done = ok(shop.warehouse.post(&path, &json!({})).key("once").send().await).expect(200);
        assert_eq!(done.text_at("/status"), "dispatched");
    }

    // Whoever reads gets one resource under one tag, and it is the owner's under every spelling.
    let stranger = shop.new_customer("kim").await;
    for (kind, id) in [("orders", order.id()), ("payments", payment), ("shipments", shipment)] {
        let read = ok(shop.customer.get(&format!("/api/v1/{kind}/{id}")).await).expect(200);
        for id in spellings(&id) {
            let path = format!("/api/v1/{kind}/{id}");
            let again = ok(shop.customer.get(&path).await).expect(200);
            assert_eq!(again.id(), read.id(), "{path}");
            assert_eq!(ok(stranger.get(&path).await).status, 404, "{path}");
        }
    }
    assert_eq!(
        ok(shop.customer.get(&format!("/api/v1/orders/{}", order.id().replace('-', "%252D"))).await).status,
        404
    );
    let product = order.text_at("/items/0/product_id");
    let read = ok(shop.stranger.get(&format!("/api/v1/products/{product}")).await).expect(200);
    for id in spellings(product) {
        let again = ok(shop.stranger.get(&format!("/api/v1/products/{id}")).await).expect(200);
        assert_eq!((again.header("etag"), &again.body), (read.header("etag"), &read.body));
        let path = format!("/api/v1/inventory/availability?product_id={id}");
        assert_eq!(ok(shop.stranger.get(&path).await).expect(200).text_at("/items/0/product_id"), product);
        let stock = format!("/api/v1/products/{id}/inventory");
        let set = ok(shop.admin.put(&stock, &json!({"on_hand": 50})).key("stock").send().await).expect(200);
        assert_eq!(set.text_at("/product_id"), product);
        let stream = format!("/api/v1/audit/streams/product/{id}/events");
        assert_eq!(pages(&shop.auditor, &format!("{stream}?limit=1")).await.len(), 1);
        let mut body = order_of(product, 1, "tok_visa");
        body["items"][0]["product_id"] = json!(uuid::Uuid::parse_str(product).unwrap().braced().to_string());
        let placed = shop.customer.post("/api/v1/orders", &body).key("braced");
        assert_eq!(ok(placed.send().await).expect(201).text_at("/items/0/product_id"), product);
    }
}

// proves: USR-3, SEC-4
#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_key_ends_every_session() {
    let shop = Shop::open().await;
    let (email, password) = ("robin@customers.example", "correct horse battery");
    let body = json!({"email": email, "password": password, "name": "Robin"});
    ok(shop.stranger.post("/api/v1/users", &body).send().await).expect(201);
    for n in 0..3 {
        let login = json!({"email": email, "password": password});
        let session = ok(shop.stranger.post("/api/v1/auth/login", &login).send().await).expect(200);
        let me = shop.stranger.with_token(session.text_at("/access_token"));
        let out = || me.call(Method::POST, "/api/v1/auth/logout").key("bye").send();
        assert_eq!(ok(out().await).expect(204).header("idempotency-replayed"), "", "session {n} ends");
        assert_eq!(
            ok(out().await).expect(204).header("idempotency-replayed"),
            "true",
            "a repeat of session {n}"
        );
        let refresh = json!({"refresh_token": session.text_at("/refresh_token")});
        let refused = ok(shop.stranger.post("/api/v1/auth/refresh", &refresh).send().await);
        assert_eq!(refused.status, 401, "session {n} is over");
    }
}

// proves: ORD-1, ORD-2, QRY-1
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_changes_with_whatever_the_body_shows() {
    let shop = Shop::open().await;
    let order = paid(&shop, "TAG-1").await;
    let path = format!("/api/v1/orders/{}", order.id());
    let payment = format!("/api/v1/payments/{}", order.text_at("/payment/id"));
    let give = async |key: &str| {
        let call = shop.admin.post(&format!("{payment}/refund"), &refund(100, "a scratch")).key(key);
        ok(call.send().await).expect(201)
    };
    let mut tags = vec![order.header("etag").to_owned()];
    for key in ["a", "b"] {
        let given = give(key).await;
        let list = tags.join(", ");
        let seen = shop.customer.call(Method::GET, &path).seen(given.header("sync-token"));
        let after = ok(seen.header("if-none-match", &list).send().await).expect(200);
        assert_eq!(after.text_at("/payment/status"), "partially_refunded");
        assert!(
            !tags.contains(&after.header("etag").to_owned()),
            "{} is none of {list}",
            after.header("etag")
        );
        tags.push(after.header("etag").to_owned());
    }
    // The provider's word that it has paid back is an event of the payment too. Then everything is still.
    let charged = || async {
        let charges = shop.charges_of(&order.id()).await;
        (charges[0]["refunded"]["amount"] == 200).then_some(())
    };
    eventually("the provider to have paid back", SETTLES_WITHIN, charged).await;
    let settled = eventually("the refunds to be settled", SETTLES_WITHIN, || async {
        let read = ok(shop.customer.get(&payment).await).expect(200);
        let refunds = read.body["refunds"].as_array().unwrap().clone();
        refunds.iter().all(|refund| refund["settled"] == true).then_some(read)
    })
    .await;
    assert_eq!(conditional(&shop.customer, &payment, settled.header("etag")).await.status, 304);
    // Whether or not the order's row has seen it yet: a 304 is never for another body. Its tag is made of three streams' versions.
    let parcel = format!("/api/v1/shipments/{}", order.text_at("/shipment/id"));
    let booked = eventually("the shipment to be booked", SETTLES_WITHIN, || async {
        let read = ok(shop.customer.get(&parcel).await).expect(200);
        (read.text_at("/status") == "created").then_some(read)
    })
    .await;
    let current = eventually("the order to be still", SETTLES_WITHIN, || async {
        let read = ok(shop.customer.get(&path).await).expect(200);
        let stale = ok(shop.customer.call(Method::DELETE, &path).header("if-match", &tags[0]).send().await);
        assert_eq!(stale.status, 412, "{}", stale.text);
        let [of_order, paid, sent] = [&read, &settled, &booked].map(|part| part.body["version"].to_string());
        let whole = format!("\"{of_order}.{paid}.{sent}\"");
        (read.header("etag") == whole && conditional(&shop.customer, &path, &whole).await.status == 304)
            .then_some(read)
    })
    .await;
    assert_ne!(current.header("etag"), tags[1]);

    let cancel = |tag: String| {
        shop.customer
            .post(&format!("{path}/cancel"), &json!({}))
            .header("if-match", &tag)
            .key("cancel")
            .send()
    };
    for malformed in ["1", "\"1", "*, \"1\""] {
        assert_eq!(ok(cancel(malformed.to_owned()).await).problem(), "if-match-malformed");
    }
    let weak = format!("W/{}", current.header("etag"));
    assert_eq!(ok(cancel(weak).await).problem(), "stale-version");
    let list = format!(",{}, {}", tags[0], current.header("etag"));
    let cancelled = ok(cancel(list.clone()).await).expect(202);
    assert_eq!(cancelled.body["payment"], current.body["payment"]);
    assert_eq!(cancelled.body["shipment"], current.body["shipment"]);
    let ended = shop.settled(&order.id(), &["cancelled"]).await;
    assert_eq!(ended.text_at("/payment/status"), "refunded");
    // The repeat of an accepted command gets its answer, whatever the tag is by now.
    let again = ok(cancel(list).await).expect(202);
    assert_eq!((&again.body, again.header("etag")), (&cancelled.body, cancelled.header("etag")));
    assert_eq!(again.header("idempotency-replayed"), "true");

    // Updates must have a tag, and take a list of them; setting stock takes neither.
    let product = format!("/api/v1/products/{}", order.text_at("/items/0/product_id"));
    let body = json!({
        "sku": "TAG-1", "name": "Another name", "description": "", "category": "things",
        "price": {"amount": 1_000, "currency": "EUR"},
    });
    let put = async |tag: &str| ok(shop.admin.put(&product, &body).header("if-match", tag).send().await);
    assert_eq!(ok(shop.admin.put(&product, &body).send().await).status, 428);
    assert_eq!(put("\"8\", \"9\"").await.status, 412);
    assert_eq!(put(",").await.status, 412, "a list of no tags names none");
    assert_eq!(put("\"7\" , ,\"1\"").await.expect(200).header("etag"), "\"2\"");
    let stock = shop.admin.put(&format!("{product}/inventory"), &json!({"on_hand": 1}));
    ok(stock.header("if-match", "\"99\"").send().await).expect(200);
    let refunded = shop.admin.post(&format!("{payment}/refund"), &refund(1, "late")).key("late");
    assert_eq!(ok(refunded.header("if-match", "\"1\"").send().await).status, 412);
    let shipment = format!("/api/v1/shipments/{}/dispatch", order.text_at("/shipment/id"));
    let dispatch = shop.warehouse.post(&shipment, &json!({})).header("if-match", "\"99\"");
    assert_eq!(ok(dispatch.send().await).status, 412);
}

/// Every file in a directory, and in those within it.
fn files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

// proves: SEC-6, PAY-2
#[tokio::test(flavor = "multi_thread")]
async fn why_money_went_back_is_sealed_and_shown_to_who_may_see_it() {
    let mut shop = Shop::open_with(|start| start.set("logging.level", "debug")).await;
    let order = paid(&shop, "WHY-1").await;
    let payment = format!("/api/v1/payments/{}", order.text_at("/payment/id"));
    let give = || shop.admin.post(&format!("{payment}/refund"), &refund(100, SECRET)).key("a").send();
    let given = ok(give().await).expect(201);
    assert_eq!(given.text_at("/refunds/0/reason"), SECRET);
    assert_eq!(ok(give().await).expect(201).body, given.body);
    for client in [&shop.admin, &shop.customer] {
        let seen = client.call(Method::GET, &payment).seen(given.header("sync-token"));
        assert_eq!(ok(seen.send().await).expect(200).text_at("/refunds/0/reason"), SECRET);
    }
    // What the program itself gives back says why in its own words.
    let cancelled =
        shop.post(&shop.customer, &format!("/api/v1/orders/{}/cancel", order.id())).await.expect(202);
    assert!(!cancelled.text.contains(SECRET));
    shop.settled(&order.id(), &["cancelled"]).await;
    let all = eventually("the other refund", SETTLES_WITHIN, || async {
        let read = ok(shop.customer.get(&payment).await).expect(200);
        (read.body["refunds"].as_array().unwrap().len() == 2).then_some(read)
    })
    .await;
    assert_eq!(all.text_at("/refunds/1/reason"), "customer_request");

    let stream = format!("/api/v1/audit/streams/payment/{}", order.text_at("/payment/id"));
    let events = pages(&shop.auditor, &format!("{stream}/events?limit=100")).await;
    let refunds: Vec<_> = events.iter().filter(|event| event["type"] == "payment.refunded").collect();
    assert_eq!(refunds[0]["schema_version"], 2);
    assert!(refunds[0]["data"]["reason"]["sealed"].as_str().unwrap().starts_with("v1."), "{}", refunds[0]);
    let state = ok(shop.auditor.get(&stream).await).expect(200);
    for text in [Value::from(events.clone()).to_string(), state.text.clone()] {
        assert!(!text.contains(SECRET), "{text}");
    }
    assert!(shop.server.terminate().unwrap().success());
    for path in files(shop.server.dir.parent().unwrap()) {
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!found, "{} has it in the clear", path.display());
    }

    // The customer's key is destroyed, as an erasure does it: nobody reads why any more, and the tag is another one.
    let keys = shop.server.dir.join("keys.db");
    if !keys.exists() {
        return; // On the engines, the contract of keys says the same.
    }
    let db = rusqlite::Connection::open(keys).unwrap();
    let subject = format!("default/user/{}", order.text_at("/customer_id"));
    assert_eq!(db.execute("UPDATE subject_keys SET key = NULL WHERE subject = ?1", [subject]).unwrap(), 1);
    drop(db);
    shop.restart();
    let erased = conditional(&shop.admin, &payment, all.header("etag")).await.expect(200);
    assert_eq!(
        (erased.text_at("/refunds/0/reason"), erased.text_at("/refunds/1/reason")),
        ("[erased]", "customer_request")
    );
    assert_eq!(conditional(&shop.admin, &payment, erased.header("etag")).await.status, 304);
}

// proves: CAT-1, CAT-2
#[tokio::test(flavor = "multi_thread")]
async fn amounts_are_compared_within_their_currency() {
    let shop = Shop::open().await;
    let make = async |sku: &str, category: &str, amount: i64, currency: &str| {
        let body = json!({
            "sku": sku, "name": format!("Lamp {sku}"), "description": "", "category": category,
            "price": {"amount": amount, "currency": currency},
        });
        ok(shop.admin.post("/api/v1/products", &body).send().await).expect(201)
    };
    let mut tokens = vec![
        make("e1", "desk", 900, "EUR").await.header("sync-token").to_owned(),
        make("e2", "desk", 100, "EUR").await.header("sync-token").to_owned(),
    ];
    let list = async |path: &str, token: &str| {
        let read = ok(shop.stranger.call(Method::GET, path).seen(token).send().await);
        let skus = read.body["items"].as_array().cloned().unwrap_or_default();
        (read, skus.iter().map(|item| item["sku"].as_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    let roads = ["/api/v1/products?", "/api/v1/products/search?q=lamp&"];
    for road in roads {
        // All is of one currency, so a bound can only mean that one.
        let (read, skus) = list(&format!("{road}min_price=500"), &tokens.join(",")).await;
        assert_eq!((read.status, skus), (200, vec!["e1".to_owned()]), "{}", read.text);
    }
    for (sku, category, amount, currency) in
        [("g1", "floor", 500, "GBP"), ("u1", "floor", 200, "USD"), ("u2", "wall", 1_000, "USD")]
    {
        tokens.push(make(sku, category, amount, currency).await.header("sync-token").to_owned());
    }
    let token = tokens.join(",");
    for road in roads {
        for (sort, expected) in
            [("price", ["e2", "e1", "g1", "u1", "u2"]), ("-price", ["e1", "e2", "g1", "u2", "u1"])]
        {
            let path = format!("{road}sort={sort}");
            assert_eq!(list(&path, &token).await.1, expected, "{path}");
            for limit in 1..5 {
                let items = pages(&shop.stranger, &format!("{path}&limit={limit}")).await;
                let skus: Vec<_> = items.iter().map(|item| item["sku"].as_str().unwrap()).collect();
                assert_eq!(skus, expected, "{path} by {limit}");
            }
        }
        for bounds in ["min_price=200", "max_price=500", "min_price=200&max_price=500&sort=price"] {
            let (refused, _) = list(&format!("{road}{bounds}"), &token).await;
            assert_eq!((refused.status, refused.problem()), (400, "currency-required"), "{}", refused.text);
            assert_eq!(refused.text_at("/errors/0/pointer"), "?currency");
        }
        for (query, expected) in [
            ("currency=USD&min_price=200&sort=price", vec!["u1", "u2"]),
            ("currency=EUR&max_price=500", vec!["e2"]),
            ("currency=GBP", vec!["g1"]),
            ("currency=GBP&min_price=501", vec![]),
            // A category of one currency needs no other word.
            ("category=wall&min_price=1", vec!["u2"]),
            ("category=nothing&min_price=1", vec![]),
        ] {
            let (read, skus) = list(&format!("{road}{query}"), &token).await;
            assert_eq!(
                (read.status, skus),
                (200, expected.into_iter().map(str::to_owned).collect()),
                "{query}"
            );
        }
        let (refused, _) = list(&format!("{road}category=floor&min_price=1"), &token).await;
        assert_eq!(refused.problem(), "currency-required");
        let (refused, _) = list(&format!("{road}currency=eur"), &token).await;
        assert_eq!(refused.problem(), "bad-parameter");
    }
}

// proves: SEC-2, ORD-1
#[tokio::test(flavor = "multi_thread")]
async fn orders_are_for_customers() {
    let shop = Shop::open().await;
    let product = shop.product("ROLE-1", 1_000, 10).await;
    for account in ["admin", "warehouse", "analyst", "auditor", "support", "operator", "service"] {
        let staff = shop.stranger.login_as(&shop.credentials, account).await.unwrap();
        let roles = ok(staff.get("/api/v1/users/me").await).expect(200).body["roles"].clone();
        assert_eq!(roles, json!([account]));
        let call = staff.post("/api/v1/orders", &order_of(&product, 1, "tok_visa")).key(account);
        let refused = ok(call.send().await);
        assert_eq!((refused.status, refused.problem()), (403, "forbidden"), "{account}");
    }
    let new = shop.new_customer("kim").await;
    for customer in [&shop.customer, &new] {
        let placed = shop.order(customer, &product, 1, "tok_visa").await;
        assert_eq!((placed.text_at("/status"), placed.header("etag")), ("pending", "\"1\""));
    }
}
