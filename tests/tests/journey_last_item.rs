//! Two hundred customers want the last one.

use tests::shop::{Shop, ok, order_of};

// proves: INV-2, SAG-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_buyers_of_the_last_item_one_pays_and_the_others_are_never_charged() {
    let shop = Shop::open().await;
    let product = shop.product("LAST-1", 9_900, 1).await;
    let buyers = (0..200).map(|n| {
        let call = shop
            .customer
            .post("/api/v1/orders", &order_of(&product, 1, "tok_visa"))
            .key(&format!("buyer-{n}"));
        async move { ok(call.send().await).expect(201).id() }
    });
    let orders = futures::future::join_all(buyers).await;

    let mut paid = Vec::new();
    for order in &orders {
        let ended = shop.settled(order, &["paid", "rejected"]).await;
        match ended.text_at("/status") {
            "paid" => paid.push(order.clone()),
            _ => assert_eq!(ended.text_at("/reason"), "out_of_stock"),
        }
    }
    assert_eq!(paid.len(), 1);
    let charges = shop.charges().await;
    assert_eq!(charges.len(), 1, "only the winner is charged");
    assert_eq!(charges[0]["order_id"], *paid[0]);
    assert_eq!(charges[0]["captured"]["amount"], 9_900);
    shop.stock(&product, 1, 1).await;

    let order = shop.settled(&paid[0], &["paid"]).await;
    let dispatch = format!("/api/v1/shipments/{}/dispatch", order.text_at("/shipment/id"));
    shop.post(&shop.warehouse, &dispatch).await.expect(200);
    shop.stock(&product, 0, 0).await;
}
