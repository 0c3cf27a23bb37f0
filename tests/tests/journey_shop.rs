//! What a customer lives through: sign-up to delivery, and every way in which an order can end otherwise.

use serde_json::json;
use tests::shop::{Shop, ok, order_of, pages};

// proves: USR-1, CAT-2, ORD-1, ORD-3, PAY-1, SHP-1, SAG-1, INV-2, QRY-1
#[tokio::test]
async fn a_stranger_signs_up_finds_buys_and_gets_what_was_bought() {
    let shop = Shop::open().await;
    let product = shop.product("KETTLE-1", 4_990, 10).await;
    let customer = shop.new_customer("robin").await;

    // A typing error still finds it.
    let found = tests::server::eventually("the product to be found", tests::shop::SETTLES_WITHIN, || async {
        let reply = ok(customer.get("/api/v1/products/search?q=prodcut").await).expect(200);
        (reply.number_at("/total") == 1).then_some(reply)
    })
    .await;
    assert_eq!(found.text_at("/items/0/id"), product);
    assert_eq!(found.number_at("/facets/category/0/count"), 1);

    let placed = shop.order(&customer, &product, 2, "tok_visa").await;
    assert_eq!(placed.text_at("/status"), "pending");
    assert_eq!(placed.number_at("/total/amount"), 9_980);
    assert_eq!(placed.header("location"), format!("/api/v1/orders/{}", placed.id()));
    let path = placed.header("location").to_owned();
    let seen = ok(customer.call(reqwest::Method::GET, &path).seen(placed.header("sync-token")).send().await);
    assert_eq!(seen.expect(200).id(), placed.id());

    let paid = shop.settled(&placed.id(), &["paid"]).await;
    assert_eq!(paid.text_at("/payment/status"), "captured");
    assert_eq!(paid.text_at("/shipment/status"), "created");
    shop.stock(&product, 10, 2).await;

    let shipment = format!("/api/v1/shipments/{}", paid.text_at("/shipment/id"));
    assert_eq!(shop.post(&customer, &format!("{shipment}/dispatch")).await.status, 403);
    shop.post(&shop.warehouse, &format!("{shipment}/dispatch")).await.expect(200);
    let _ = shop.settled(&placed.id(), &["shipped"]).await;
    shop.stock(&product, 8, 0).await;
    shop.post(&shop.warehouse, &format!("{shipment}/deliver")).await.expect(200);
    let _ = shop.settled(&placed.id(), &["completed"]).await;

    let charges = shop.charges_of(&placed.id()).await;
    assert_eq!(charges.len(), 1);
    assert_eq!(charges[0]["captured"]["amount"], 9_980);
    let history = shop.history("order", &placed.id()).await;
    let expected = [
        "order.placed",
        "order.stock_reserved",
        "order.paid",
        "order.shipped",
        "order.delivered",
        "order.completed",
    ];
    assert_eq!(history, expected);

    // One correlation id runs through the order, its stock, its payment and its shipment.
    let first =
        pages(&shop.auditor, &format!("/api/v1/audit/streams/order/{}/events?limit=100", placed.id())).await;
    let correlation = first[0]["correlation_id"].as_str().unwrap();
    let all =
        pages(&shop.auditor, &format!("/api/v1/audit/events?correlation_id={correlation}&limit=100")).await;
    for kind in ["inventory.reserved", "payment.captured", "shipment.created", "order.paid"] {
        assert!(all.iter().any(|event| event["type"] == kind), "{kind} is missing");
    }
    for event in &all {
        assert!(event.as_object().unwrap().values().all(|value| !value.is_null()), "{event}");
    }
}

// proves: SAG-1, INV-2, PAY-3
#[tokio::test]
async fn a_declined_card_gives_the_stock_back() {
    let shop = Shop::open().await;
    let product = shop.product("CUP-1", 990, 5).await;
    for method in ["tok_declined", "tok_insufficient_funds"] {
        let placed = shop.order(&shop.customer, &product, 3, method).await;
        let ended = shop.settled(&placed.id(), &["cancelled"]).await;
        assert_eq!(ended.text_at("/reason"), "payment_declined");
        assert_eq!(ended.text_at("/payment/status"), "declined");
        assert!(shop.charges_of(&placed.id()).await.iter().all(|charge| charge["captured"]["amount"] == 0));
    }
    shop.stock(&product, 5, 0).await;
}

// proves: PAY-3
#[tokio::test]
async fn every_other_payment_method_of_the_simulator_settles_as_documented() {
    let shop = Shop::open().await;
    let product = shop.product("CUP-2", 990, 100).await;
    let mut placed = Vec::new();
    for method in ["tok_timeout_captured", "tok_timeout_lost", "tok_slow"] {
        placed.push(shop.order(&shop.customer, &product, 1, method).await.id());
    }
    let captured = shop.settled(&placed[0], &["paid"]).await;
    assert_eq!(captured.text_at("/payment/status"), "captured");
    let lost = shop.settled(&placed[1], &["cancelled"]).await;
    assert_eq!(lost.text_at("/reason"), "payment_timeout");
    let slow = shop.settled(&placed[2], &["paid"]).await;
    assert_eq!(slow.text_at("/payment/status"), "captured");
    // One charge each where one was made, none where none was.
    assert_eq!(shop.charges_of(&placed[0]).await.len(), 1);
    assert!(shop.charges_of(&placed[1]).await.iter().all(|charge| charge["captured"]["amount"] == 0));
    assert_eq!(shop.charges_of(&placed[2]).await.len(), 1);
    shop.stock(&product, 100, 2).await;
}

// proves: ORD-2, PAY-3, SAG-1
#[tokio::test]
async fn an_order_can_be_cancelled_until_dispatch_and_everything_is_undone() {
    let shop = Shop::open().await;
    let product = shop.product("CUP-3", 1_500, 50).await;

    // Cancelled at once, and while the payment is slow or unknown.
    let mut cancelled = Vec::new();
    for method in ["tok_visa", "tok_slow", "tok_timeout_captured"] {
        let placed = shop.order(&shop.customer, &product, 1, method).await;
        let path = format!("/api/v1/orders/{}/cancel", placed.id());
        shop.post(&shop.customer, &path).await.expect(202);
        cancelled.push(placed.id());
    }
    // Cancelled when paid, by the alias.
    let placed = shop.order(&shop.customer, &product, 1, "tok_visa").await;
    let paid = shop.settled(&placed.id(), &["paid"]).await;
    let path = format!("/api/v1/orders/{}", placed.id());
    ok(shop.customer.call(reqwest::Method::DELETE, &path).send().await).expect(202);
    cancelled.push(placed.id());

    for order in &cancelled {
        let ended = shop.settled(order, &["cancelled"]).await;
        assert_eq!(ended.text_at("/reason"), "customer_request", "{order}");
        tests::server::eventually(
            "what was charged to be paid back",
            tests::shop::SETTLES_WITHIN,
            || async {
                let left: i64 = (shop.charges_of(order).await.iter())
                    .map(|charge| {
                        charge["captured"]["amount"].as_i64().unwrap()
                            - charge["refunded"]["amount"].as_i64().unwrap()
                    })
                    .sum();
                (left == 0).then_some(())
            },
        )
        .await;
    }
    assert_eq!(shop.payment(&paid, "refunded").await.number_at("/refunded/amount"), 1_500);
    shop.stock(&product, 50, 0).await;

    // After dispatch it is too late, and the answer points to returns.
    let placed = shop.order(&shop.customer, &product, 1, "tok_visa").await;
    let paid = shop.settled(&placed.id(), &["paid"]).await;
    let dispatch = format!("/api/v1/shipments/{}/dispatch", paid.text_at("/shipment/id"));
    shop.post(&shop.warehouse, &dispatch).await.expect(200);
    // At once, while the saga has yet to tell the order.
    let late = shop.post(&shop.customer, &format!("/api/v1/orders/{}/cancel", placed.id())).await.expect(409);
    assert!(late.text_at("/detail").contains("return"), "{}", late.text);
}

// proves: SAG-1
#[tokio::test]
async fn a_carrier_that_refuses_leads_to_a_refund() {
    let shop = Shop::open().await;
    let product = shop.product("CUP-4", 700, 4).await;
    let mut body = order_of(&product, 2, "tok_visa");
    body["shipping_address"]["country"] = json!("AQ");
    let placed = ok(shop.customer.post("/api/v1/orders", &body).key("antarctica").send().await).expect(201);
    let ended = shop.settled(&placed.id(), &["cancelled"]).await;
    assert_eq!(ended.text_at("/reason"), "shipment_failed");
    assert_eq!(shop.payment(&ended, "refunded").await.number_at("/refunded/amount"), 1_400);
    shop.stock(&product, 4, 0).await;
}

// proves: PAY-2
#[tokio::test]
async fn refunds_never_exceed_the_capture_even_when_concurrent() {
    let shop = Shop::open().await;
    let product = shop.product("CUP-5", 1_000, 4).await;
    let placed = shop.order(&shop.customer, &product, 1, "tok_visa").await;
    let paid = shop.settled(&placed.id(), &["paid"]).await;
    let path = format!("/api/v1/payments/{}/refund", paid.text_at("/payment/id"));
    let body = json!({ "amount": { "amount": 300, "currency": "EUR" }, "reason": "a scratch" });
    let refunds = (0..8).map(|n| {
        let call = shop.admin.post(&path, &body).key(&format!("refund-{n}"));
        async move { ok(call.send().await).status }
    });
    let statuses = futures::future::join_all(refunds).await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 3, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 422).count(), 5, "{statuses:?}");
    tests::server::eventually("every refund to be read", tests::shop::SETTLES_WITHIN, || async {
        let payment = shop.payment(&paid, "partially_refunded").await;
        (payment.number_at("/refunded/amount") == 900).then_some(())
    })
    .await;
    tests::server::eventually("the provider to have paid back", tests::shop::SETTLES_WITHIN, || async {
        let charges = shop.charges_of(&placed.id()).await;
        (charges[0]["refunded"]["amount"] == 900).then_some(())
    })
    .await;
    // The order goes on as it was.
    assert_eq!(shop.settled(&placed.id(), &["paid"]).await.text_at("/status"), "paid");
}
