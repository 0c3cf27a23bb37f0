//! The provider and the carrier refuse or are away: what they say is an outcome, a cancel is never held up by them, and what needs
//! somebody is seen and ended by a person.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use reqwest::Method;
use serde_json::{Value, json};
use tests::client::{Client, Reply};
use tests::metrics::number;
use tests::server::{eventually, tillstream};
use tests::shop::{SETTLES_WITHIN, Shop, ok, pages};

const SAGAS: &str = "/api/v1/operations/sagas";

/// Turns the provider and the carrier.
async fn turn(shop: &Shop, payments: &str, carrier: &str) {
    let state = json!({ "payments": payments, "carrier": carrier });
    let now = ok(shop.stranger.put("/simulator/state", &state).send().await).expect(200);
    assert_eq!(now.body, state);
}

async fn cancel(shop: &Shop, order: &str) {
    shop.post(&shop.customer, &format!("/api/v1/orders/{order}/cancel")).await.expect(202);
}

async fn refund(shop: &Shop, order: &Reply, cents: i64, key: &str) -> Reply {
    let path = format!("/api/v1/payments/{}/refund", order.text_at("/payment/id"));
    let body = json!({ "amount": { "amount": cents, "currency": "EUR" }, "reason": "a scratch" });
    ok(shop.admin.post(&path, &body).key(key).send().await)
}

/// What the provider still has of an order's money.
async fn kept(shop: &Shop, order: &str) -> i64 {
    let charges = shop.charges_of(order).await;
    let amount = |charge: &Value, of: &str| charge[of]["amount"].as_i64().unwrap();
    charges.iter().map(|charge| amount(charge, "captured") - amount(charge, "refunded")).sum()
}

async fn until_kept(shop: &Shop, order: &str, cents: i64) {
    eventually(&format!("the provider to keep {cents} of {order}"), SETTLES_WITHIN, || async {
        (kept(shop, order).await == cents).then_some(())
    })
    .await;
}

/// Waits until the saga of an order has this status; answers it.
async fn saga(client: &Client, order: &str, status: &str) -> Reply {
    let path = format!("{SAGAS}/{order}");
    eventually(&format!("the saga of {order} to be {status}"), SETTLES_WITHIN, || async {
        let reply = ok(client.get(&path).await);
        (reply.text_at("/status") == status).then_some(reply)
    })
    .await
}

/// Waits until the health of a shop has this status; answers it.
async fn health(shop: &Shop, status: &str) -> Reply {
    eventually(&format!("health to be {status}"), SETTLES_WITHIN, || async {
        let reply = ok(shop.stranger.get("/health").await).expect(200);
        (reply.text_at("/status") == status).then_some(reply)
    })
    .await
}

async fn resolve(client: &Client, order: &str, step: &str, outcome: &str) -> Reply {
    let body = json!({ "step": step, "outcome": outcome, "reason": "settled on the telephone" });
    ok(client.post(&format!("{SAGAS}/{order}/resolve"), &body).send().await)
}

// proves: PAY-3, SAG-1, INV-2
#[tokio::test]
async fn a_charge_that_is_refused_for_good_ends_the_order_and_gives_the_stock_back() {
    let shop = Shop::open().await;
    let product = shop.product("NO-1", 500, 9).await;
    let refused = shop.order(&shop.customer, &product, 2, "tok_refused").await.id();
    turn(&shop, "refusing", "up").await;
    let refusing = shop.order(&shop.customer, &product, 3, "tok_visa").await.id();
    for order in [&refused, &refusing] {
        let ended = shop.settled(order, &["cancelled"]).await;
        assert_eq!(ended.text_at("/reason"), "payment_declined");
        let payment = shop.payment(&ended, "declined").await;
        assert_eq!(payment.text_at("/decline_reason"), "refused");
        assert_eq!(kept(&shop, order).await, 0);
        saga(&shop.admin, order, "ended").await;
    }
    shop.stock(&product, 9, 0).await;
    // What was refused stays so, and nothing else does.
    turn(&shop, "up", "up").await;
    let bought = shop.order(&shop.customer, &product, 1, "tok_visa").await.id();
    let _ = shop.settled(&bought, &["paid"]).await;
    assert_eq!((kept(&shop, &refused).await, kept(&shop, &refusing).await), (0, 0));
}

// proves: ORD-2, SAG-1, PAY-3
#[tokio::test]
async fn a_cancel_is_not_held_up_by_a_carrier_that_is_away() {
    let shop = Shop::open_with(|start| start.set("fulfilment.booking", "10m")).await;
    let product = shop.product("AWAY-1", 800, 5).await;
    turn(&shop, "up", "down").await;
    let order = shop.order(&shop.customer, &product, 2, "tok_visa").await.id();
    eventually("the carrier to be asked", SETTLES_WITHIN, || async {
        let saga = ok(shop.admin.get(&format!("{SAGAS}/{order}")).await);
        (saga.text_at("/step") == "book-carrier").then_some(())
    })
    .await;
    assert_eq!(kept(&shop, &order).await, 1_600);
    cancel(&shop, &order).await;
    // All of it while the carrier is away.
    let ended = shop.settled(&order, &["cancelled"]).await;
    assert_eq!(ended.text_at("/reason"), "customer_request");
    until_kept(&shop, &order, 0).await;
    shop.stock(&product, 5, 0).await;
    assert_ne!(saga(&shop.admin, &order, "compensating").await.text_at("/step"), "");
    turn(&shop, "up", "up").await;
    saga(&shop.admin, &order, "ended").await;
}

// proves: SAG-1, PAY-3
#[tokio::test]
async fn a_booking_has_a_deadline_and_then_the_order_is_cancelled_and_refunded() {
    let shop = Shop::open_with(|start| start.set("fulfilment.booking", "1s")).await;
    let product = shop.product("AWAY-2", 800, 5).await;
    for carrier in ["down", "refusing"] {
        turn(&shop, "up", carrier).await;
        let order = shop.order(&shop.customer, &product, 2, "tok_visa").await.id();
        let ended = shop.settled(&order, &["cancelled"]).await;
        assert_eq!(ended.text_at("/reason"), "shipment_failed", "{carrier}");
        until_kept(&shop, &order, 0).await;
        shop.stock(&product, 5, 0).await;
        turn(&shop, "up", "up").await;
        saga(&shop.admin, &order, "ended").await;
    }
}

// proves: ORD-2, PAY-3, SAG-1, SAG-4
#[tokio::test]
async fn a_cancel_is_not_held_up_by_a_provider_that_is_away_and_is_refunded_when_it_is_back() {
    let mut shop = Shop::open_with(|start| start.set("fulfilment.stuck_after", "1s")).await;
    let product = shop.product("AWAY-3", 800, 5).await;
    let order = shop.order(&shop.customer, &product, 2, "tok_visa").await.id();
    let _ = shop.settled(&order, &["paid"]).await;
    turn(&shop, "down", "up").await;
    cancel(&shop, &order).await;
    let ended = shop.settled(&order, &["cancelled"]).await;
    assert_eq!(ended.text_at("/reason"), "customer_request");
    shop.stock(&product, 5, 0).await;
    assert_eq!(kept(&shop, &order).await, 1_600);
    let stuck = saga(&shop.admin, &order, "stuck").await;
    assert_eq!(stuck.text_at("/reason"), "payments_overdue");
    // A restart changes nothing of it: the books are the provider's own.
    assert!(shop.server.terminate().unwrap().success());
    shop.restart();
    assert_eq!(ok(shop.stranger.get("/simulator/state").await).text_at("/payments"), "down");
    turn(&shop, "up", "up").await;
    until_kept(&shop, &order, 0).await;
    saga(&shop.admin, &order, "ended").await;
}

// proves: PAY-2
#[tokio::test]
async fn a_refund_that_is_refused_is_seen_and_can_be_asked_for_again() {
    let shop = Shop::open().await;
    let product = shop.product("BACK-1", 1_000, 5).await;
    let order = shop.order(&shop.customer, &product, 1, "tok_visa").await.id();
    let paid = shop.settled(&order, &["paid"]).await;
    turn(&shop, "refusing", "up").await;
    refund(&shop, &paid, 400, "first").await.expect(201);
    let path = format!("/api/v1/payments/{}", paid.text_at("/payment/id"));
    let payment = eventually("the refund to fail", SETTLES_WITHIN, || async {
        let reply = ok(shop.admin.get(&path).await).expect(200);
        (!reply.text_at("/refunds/0/failure").is_empty()).then_some(reply)
    })
    .await;
    assert_eq!((payment.text_at("/status"), payment.number_at("/refunded/amount")), ("captured", 0));
    assert_eq!(payment.body.pointer("/refunds/0/settled"), Some(&json!(false)));
    assert!(shop.history("payment", &payment.id()).await.contains(&"payment.refund_failed".to_owned()));
    // The amount is open again, in full.
    turn(&shop, "up", "up").await;
    refund(&shop, &paid, 1_001, "too much").await.expect(422);
    let refunded = refund(&shop, &paid, 900, "second").await.expect(201);
    until_kept(&shop, &order, 100).await;
    // The provider tells nothing of the read models; the command's token does.
    let path = format!("/api/v1/orders/{order}");
    let read = shop.admin.call(Method::GET, &path).seen(refunded.header("sync-token"));
    let read = ok(read.send().await).expect(200);
    assert_eq!((read.text_at("/status"), read.text_at("/payment/status")), ("paid", "partially_refunded"));
}

// proves: SAG-4, OPS-3, AUD-1
#[tokio::test]
async fn what_needs_somebody_is_listed_and_ended_by_a_person() {
    let shop = Shop::open().await;
    let product = shop.product("HELP-1", 700, 9).await;
    let mut stuck = Vec::new();
    for _ in 0..3 {
        let order = shop.order(&shop.customer, &product, 1, "tok_visa").await.id();
        let _ = shop.settled(&order, &["paid"]).await;
        stuck.push(order);
    }
    assert!(pages(&shop.admin, &format!("{SAGAS}?status=stuck&limit=1")).await.is_empty());
    assert_eq!(pages(&shop.admin, &format!("{SAGAS}?status=waiting&limit=1")).await.len(), 3);
    turn(&shop, "refusing", "up").await;
    for order in &stuck {
        cancel(&shop, order).await;
        let _ = shop.settled(order, &["cancelled"]).await;
        let needs = saga(&shop.admin, order, "stuck").await;
        assert_eq!(needs.text_at("/reason"), "refund_refused");
        assert_eq!((needs.text_at("/step"), needs.number_at("/attempts")), ("refund-payment", 1));
    }
    shop.stock(&product, 9, 0).await;
    let listed = pages(&shop.admin, &format!("{SAGAS}?status=stuck&reason=refund_refused&limit=1")).await;
    let orders: Vec<_> = listed.iter().map(|saga| saga["order_id"].as_str().unwrap()).collect();
    assert_eq!(orders, stuck.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(pages(&shop.admin, &format!("{SAGAS}?status=stuck&older_than=1h&limit=1")).await.is_empty());
    let health = health(&shop, "degraded").await;
    assert_eq!(health.body["sagas"]["stuck"].as_array().unwrap().len(), 3);
    assert_eq!(health.text_at("/sagas/reasons/0/reason"), "refund_refused");
    // A shop with a stuck order is open.
    assert_eq!(ok(shop.stranger.get("/health/ready").await).status, 200);
    let metrics = ok(shop.stranger.get("/metrics").await).text;
    assert_eq!(number(&metrics, "sagas_stuck{reason=\"refund_refused\"}"), 3);
    for lane in ["commands", "payments"] {
        assert!(number(&metrics, &format!("saga_work_done_total{{lane=\"{lane}\"}}")) >= 3, "{metrics}");
    }

    // Tried again while the provider still refuses, it needs somebody again.
    let retry = |order: &str| format!("{SAGAS}/{order}/retry");
    let again = shop.post(&shop.admin, &retry(&stuck[0])).await.expect(202);
    assert_ne!(again.header("sync-token"), "");
    eventually("the second attempt to be refused", SETTLES_WITHIN, || async {
        let reply = ok(shop.admin.get(&format!("{SAGAS}/{}", stuck[0])).await);
        (reply.text_at("/status") == "stuck" && reply.number_at("/attempts") == 2).then_some(())
    })
    .await;
    turn(&shop, "up", "up").await;
    shop.post(&shop.admin, &retry(&stuck[0])).await.expect(202);
    saga(&shop.admin, &stuck[0], "ended").await;
    until_kept(&shop, &stuck[0], 0).await;

    // Paid back in another way, and given up.
    for (order, outcome, refunded) in [(&stuck[1], "done", 700), (&stuck[2], "refused", 0)] {
        resolve(&shop.admin, order, "refund-payment", outcome).await.expect(202);
        saga(&shop.admin, order, "ended").await;
        assert_eq!(kept(&shop, order).await, 700, "the provider was not asked again");
        let cancelled = shop.settled(order, &["cancelled"]).await;
        let status = if refunded > 0 { "refunded" } else { "captured" };
        assert_eq!(shop.payment(&cancelled, status).await.number_at("/refunded/amount"), refunded);
        let path = format!("/api/v1/audit/streams/fulfilment/{order}/events?limit=100");
        let events = pages(&shop.auditor, &path).await;
        let word = events.iter().find(|event| event["type"] == "fulfilment.resolved").unwrap();
        assert!(word["actor"].as_str().unwrap().starts_with("user:"), "{word}");
        assert_eq!(word["data"]["reason"], "settled on the telephone");
    }
    self::health(&shop, "up").await;
}

// proves: SAG-4, SEC-2, SEC-10
#[tokio::test]
async fn operations_on_sagas_refuse_who_may_not_and_what_makes_no_sense() {
    let shop = Shop::open().await;
    let product = shop.product("HELP-2", 700, 9).await;
    let order = shop.order(&shop.customer, &product, 1, "tok_visa").await.id();
    let _ = shop.settled(&order, &["paid"]).await;
    saga(&shop.admin, &order, "waiting").await;
    for client in [&shop.customer, &shop.warehouse, &shop.auditor] {
        assert_eq!(ok(client.get(SAGAS).await).status, 403);
        assert_eq!(resolve(client, &order, "void", "done").await.status, 403);
    }
    assert_eq!(ok(shop.stranger.get(SAGAS).await).status, 401);
    let nobody = uuid::Uuid::now_v7().to_string();
    assert_eq!(ok(shop.admin.get(&format!("{SAGAS}/{nobody}")).await).status, 404);
    assert_eq!(resolve(&shop.admin, &nobody, "void", "done").await.status, 404);
    for query in ["status=lost", "older_than=soon", "limit=0", "color=red", "cursor=x"] {
        assert_eq!(ok(shop.admin.get(&format!("{SAGAS}?{query}")).await).status, 400, "{query}");
    }
    // A saga that goes on by itself has nothing to be ended.
    assert_eq!(shop.post(&shop.admin, &format!("{SAGAS}/{order}/retry")).await.problem(), "nothing-to-retry");
    let refused = resolve(&shop.admin, &order, "cancel-carrier", "done").await;
    assert_eq!((refused.status, refused.problem()), (409, "step-not-resolvable"));
    assert_eq!(resolve(&shop.admin, &order, "dance", "done").await.status, 422);
    assert_eq!(resolve(&shop.admin, &order, "void", "perhaps").await.status, 422);
    for state in
        [json!({ "payments": "sideways" }), json!({ "mail": "up" }), json!([]), json!({ "carrier": 1 })]
    {
        let reply = ok(shop.stranger.put("/simulator/state", &state).send().await);
        assert!(matches!(reply.status, 400 | 422), "{state}: {}", reply.text);
    }
    // One alone leaves the other as it is.
    turn(&shop, "refusing", "up").await;
    let now = ok(shop.stranger.put("/simulator/state", &json!({ "carrier": "down" })).send().await);
    assert_eq!(now.expect(200).body, json!({ "payments": "refusing", "carrier": "down" }));
}

// proves: ORD-2, PAY-2, SHP-1
#[tokio::test]
async fn a_full_refund_before_dispatch_cancels_and_after_it_changes_nothing() {
    let shop = Shop::open().await;
    let product = shop.product("WHOLE-1", 1_000, 9).await;
    let paid = async || {
        let order = shop.order(&shop.customer, &product, 1, "tok_visa").await.id();
        shop.settled(&order, &["paid"]).await
    };
    let dispatch = |order: &Reply| format!("/api/v1/shipments/{}/dispatch", order.text_at("/shipment/id"));

    let whole = paid().await;
    refund(&shop, &whole, 1_000, "whole").await.expect(201);
    let refused = async |order: &Reply| {
        let late = shop.post(&shop.warehouse, &dispatch(order)).await.expect(409);
        assert!(late.text_at("/detail").contains("refunded"), "{}", late.text);
    };
    // At once, while the saga may have yet to hear of it.
    refused(&whole).await;
    let ended = shop.settled(&whole.id(), &["cancelled"]).await;
    assert_eq!(ended.text_at("/reason"), "customer_request");
    assert_eq!(ended.text_at("/payment/status"), "refunded");
    shop.stock(&product, 9, 0).await;
    until_kept(&shop, &whole.id(), 0).await;
    refused(&whole).await;

    // In parts that leave nothing.
    let parts = paid().await;
    refund(&shop, &parts, 400, "part one").await.expect(201);
    assert_eq!(shop.settled(&parts.id(), &["paid"]).await.text_at("/status"), "paid");
    refund(&shop, &parts, 600, "part two").await.expect(201);
    refused(&parts).await;
    let _ = shop.settled(&parts.id(), &["cancelled"]).await;

    // After the dispatch the order goes on.
    let sent = paid().await;
    shop.post(&shop.warehouse, &dispatch(&sent)).await.expect(200);
    refund(&shop, &sent, 1_000, "sent").await.expect(201);
    shop.post(&shop.warehouse, &dispatch(&sent)).await.expect(200);
    let _ = shop.settled(&sent.id(), &["shipped"]).await;
    let deliver = format!("/api/v1/shipments/{}/deliver", sent.text_at("/shipment/id"));
    shop.post(&shop.warehouse, &deliver).await.expect(200);
    let _ = shop.settled(&sent.id(), &["completed"]).await;
    until_kept(&shop, &sent.id(), 0).await;
    shop.stock(&product, 8, 0).await;
}

// proves: SAG-4, OPS-3
#[tokio::test]
async fn an_operator_lists_and_ends_stuck_sagas_on_the_command_line() {
    let mut shop = Shop::open().await;
    let product = shop.product("HELP-3", 700, 9).await;
    let mut stuck = Vec::new();
    for _ in 0..2 {
        let order = shop.order(&shop.customer, &product, 1, "tok_visa").await.id();
        let _ = shop.settled(&order, &["paid"]).await;
        stuck.push(order);
    }
    turn(&shop, "refusing", "up").await;
    for order in &stuck {
        cancel(&shop, order).await;
        saga(&shop.admin, order, "stuck").await;
        let _ = shop.settled(order, &["cancelled"]).await;
    }
    let dir = shop.server.dir.to_str().unwrap().to_owned();
    let credentials = shop.credentials.to_str().unwrap().to_owned();

    // Beside the running server, as an account that may.
    let unnamed = tillstream(&["sagas", "list", "--data-dir", &dir]);
    assert!(unnamed.code != 0 && unnamed.err.contains("--credentials"), "{}", unnamed.err);
    let as_admin = ["--credentials", &credentials, "--account", "admin", "--data-dir", &dir];
    let listed = tillstream(&[&["sagas", "list", "--status", "stuck"][..], &as_admin[..]].concat());
    assert_eq!(listed.code, 0, "{}", listed.err);
    assert!(stuck.iter().all(|order| listed.out.contains(order)), "{}", listed.out);
    let resolve = ["sagas", "resolve", &stuck[0], "--step", "refund-payment", "--outcome", "done"];
    let said = tillstream(&[&resolve[..], &["--reason", "by bank transfer"], &as_admin[..]].concat());
    assert_eq!(said.code, 0, "{}", said.err);
    saga(&shop.admin, &stuck[0], "ended").await;
    let again = tillstream(&[&["sagas", "retry", &stuck[0]][..], &as_admin[..]].concat());
    assert!(again.code != 0 && again.err.contains("nothing to retry"), "{}", again.err);

    // And on a stopped shop, which goes on from there.
    turn(&shop, "up", "up").await;
    assert!(shop.server.terminate().unwrap().success());
    let json = tillstream(&["sagas", "list", "--status", "stuck", "--json", "--data-dir", &dir]);
    assert_eq!(json.code, 0, "{}", json.err);
    let found: Value = serde_json::from_str(json.out.trim()).unwrap();
    assert_eq!(
        (found["order_id"].as_str(), found["reason"].as_str()),
        (Some(stuck[1].as_str()), Some("refund_refused"))
    );
    let shown = tillstream(&["sagas", "show", &stuck[1], "--data-dir", &dir]);
    assert!(shown.code == 0 && shown.out.contains("refund-payment"), "{}{}", shown.out, shown.err);
    let said = tillstream(&["sagas", "retry", &stuck[1], "--data-dir", &dir]);
    assert_eq!(said.code, 0, "{}", said.err);
    let nowhere = shop.beside("nowhere");
    let none = tillstream(&["sagas", "list", "--data-dir", nowhere.to_str().unwrap()]);
    assert!(none.code != 0 && !nowhere.exists(), "{}", none.err);
    shop.restart();
    until_kept(&shop, &stuck[1], 0).await;
    saga(&shop.admin, &stuck[1], "ended").await;
}
