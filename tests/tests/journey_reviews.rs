//! Reviews: who bought a product says what they think of it, support moderates, and the product shows what all of it comes to.

use reqwest::Method;
use serde_json::{Value, json};
use tests::client::{Client, Reply};
use tests::shop::{SETTLES_WITHIN, Shop, ok, order_of, pages};

fn review(order: &str, rating: u8, text: &str) -> Value {
    json!({ "order_id": order, "rating": rating, "text": text })
}

/// Has a customer buy a product, which is sent; returns the order's id.
async fn bought(shop: &Shop, by: &Client, product: &str) -> String {
    let order = shop.order(by, product, 1, "tok_visa").await.id();
    dispatched(shop, &order).await;
    order
}

async fn dispatched(shop: &Shop, order: &str) {
    let paid = shop.settled(order, &["paid"]).await;
    let path = format!("/api/v1/shipments/{}/dispatch", paid.text_at("/shipment/id"));
    shop.post(&shop.warehouse, &path).await.expect(200);
    let _ = shop.settled(order, &["shipped"]).await;
}

async fn write(by: &Client, product: &str, body: &Value) -> Reply {
    ok(by.post(&format!("/api/v1/products/{product}/reviews"), body).send().await)
}

async fn support(shop: &Shop) -> Client {
    shop.stranger.login_as(&shop.credentials, "support").await.expect("support logs in")
}

/// What a product shows, at least as new as a command.
async fn rating(shop: &Shop, product: &str, after: &Reply) -> (i64, Value) {
    let call = shop.stranger.call(Method::GET, &format!("/api/v1/products/{product}"));
    let shown = ok(call.seen(after.header("sync-token")).send().await).expect(200);
    (shown.number_at("/rating/count"), shown.body["rating"]["average"].clone())
}

// proves: CAT-3
#[tokio::test]
async fn who_bought_a_product_reviews_it_once_and_the_product_shows_it() {
    let shop = Shop::open().await;
    let (product, other) = (shop.product("TEAPOT", 4_000, 10).await, shop.product("LID", 500, 10).await);
    let order = bought(&shop, &shop.customer, &product).await;
    let path = format!("/api/v1/products/{product}/reviews");

    let written =
        write(&shop.customer, &product, &review(&order, 4, "Pours well.\nNo drips.")).await.expect(201);
    assert_eq!(written.header("location"), format!("/api/v1/reviews/{}", written.id()));
    assert_eq!(written.text_at("/status"), "published");
    assert_eq!((written.number_at("/rating"), written.text_at("/text")), (4, "Pours well.\nNo drips."));
    assert_eq!(rating(&shop, &product, &written).await, (1, json!(4.0)));

    // Everybody reads it; who wrote it, and by which order, is not for everybody.
    let call = shop.stranger.call(Method::GET, &path).seen(written.header("sync-token"));
    let listed = ok(call.send().await).expect(200);
    assert_eq!(listed.text_at("/items/0/text"), "Pours well.\nNo drips.");
    assert_eq!(
        (&listed.body["items"][0]["customer_id"], &listed.body["items"][0]["order_id"]),
        (&Value::Null, &Value::Null)
    );
    let one = format!("/api/v1/reviews/{}", written.id());
    let own = ok(shop.customer.get(&one).await).expect(200);
    assert_eq!(own.body, written.body, "a command returns what a query does");
    assert_eq!(own.header("etag"), written.header("etag"));
    let public = ok(shop.stranger.get(&one).await).expect(200);
    assert_ne!(public.header("etag"), own.header("etag"), "another body has another tag");

    // Once; by an order of one's own that has it and is paid.
    let again = write(&shop.customer, &product, &review(&order, 5, "Again")).await;
    assert_eq!((again.status, again.problem()), (409, "review-exists"));
    let stranger = shop.new_customer("nosy").await;
    for (by, product, order) in [
        (&stranger, &product, order.as_str()),
        (&shop.customer, &other, order.as_str()),
        (&shop.customer, &other, "01950000-0000-7000-8000-000000000000"),
    ] {
        let refused = write(by, product, &review(order, 1, "Never had it")).await;
        assert_eq!((refused.status, refused.text_at("/errors/0/pointer")), (422, "/order_id"));
    }
    let declined = shop.order(&stranger, &other, 1, "tok_declined").await.id();
    let _ = shop.settled(&declined, &["cancelled"]).await;
    // Nor is what is paid bought: it can be called off, and costs nothing then.
    let paid = shop.order(&stranger, &other, 1, "tok_visa").await.id();
    let _ = shop.settled(&paid, &["paid"]).await;
    for order in [&declined, &paid] {
        let refused = write(&stranger, &other, &review(order, 1, "Never had it")).await;
        assert_eq!((refused.status, refused.problem()), (409, "product-not-bought"));
    }
    shop.post(&stranger, &format!("/api/v1/orders/{paid}/cancel")).await.expect(202);
    let _ = shop.settled(&paid, &["cancelled"]).await;
    let refused = write(&stranger, &other, &review(&paid, 1, "Never had it")).await;
    assert_eq!((refused.status, refused.problem()), (409, "product-not-bought"));
    assert_eq!(write(&shop.stranger, &product, &review(&order, 1, "Who?")).await.status, 401);
    assert_eq!(write(&shop.admin, &product, &review(&order, 1, "Me")).await.status, 403);
    let unknown = "01950000-0000-7000-8000-000000000001";
    assert_eq!(write(&shop.customer, unknown, &review(&order, 1, "What?")).await.status, 404);
    assert_eq!(ok(shop.stranger.get(&format!("/api/v1/products/{unknown}/reviews")).await).status, 404);

    // Of one's own only; somebody else's is like none at all.
    let change = |by: &Client, tag: &str, rating: u8, text: &str| {
        by.put(&one, &json!({ "rating": rating, "text": text })).header("if-match", tag)
    };
    assert_eq!(ok(change(&stranger, "*", 1, "x").send().await).status, 404);
    assert_eq!(ok(stranger.call(Method::DELETE, &one).send().await).status, 404);
    assert_eq!(ok(change(&shop.customer, "\"7\"", 1, "x").send().await).status, 412);
    let same = ok(change(&shop.customer, written.header("etag"), 4, "Pours well.\nNo drips.").send().await)
        .expect(200);
    assert_eq!(same.header("etag"), written.header("etag"), "the same words are no change");
    let changed = ok(change(&shop.customer, written.header("etag"), 2, "It drips.").send().await).expect(200);
    assert_eq!((changed.number_at("/version"), changed.text_at("/text")), (2, "It drips."));
    assert_eq!(rating(&shop, &product, &changed).await, (1, json!(2.0)));
    let withdrawn = ok(shop.customer.call(Method::DELETE, &one).send().await).expect(200);
    assert_eq!(withdrawn.text_at("/status"), "withdrawn");
    assert_eq!(rating(&shop, &product, &withdrawn).await, (0, Value::Null));
    assert_eq!(ok(shop.stranger.get(&one).await).status, 404);
    assert_eq!(ok(shop.customer.get(&one).await).expect(200).text_at("/status"), "withdrawn");
    let anew = write(&shop.customer, &product, &review(&order, 5, "Mended.")).await.expect(201);
    assert_eq!((anew.id(), anew.number_at("/version")), (written.id(), 4));
    assert_eq!(rating(&shop, &product, &anew).await, (1, json!(5.0)));

    // An auditor finds the review, its rating and no word of it in the clear.
    let history = shop.history("review", &written.id()).await;
    assert_eq!(history, ["review.written", "review.changed", "review.withdrawn", "review.written"]);
    assert_eq!(shop.history("product_rating", &product).await.len(), 4);
    let events =
        pages(&shop.auditor, &format!("/api/v1/audit/streams/review/{}/events?limit=100", written.id()))
            .await;
    assert!(events.iter().all(|event| !event.to_string().contains("drips")), "{events:?}");
}

// proves: CAT-3
#[tokio::test]
async fn what_support_hides_is_gone_for_everybody_else_and_counts_no_more() {
    let shop = Shop::open().await;
    let support = support(&shop).await;
    let product = shop.product("PAN", 3_000, 10).await;
    let order = bought(&shop, &shop.customer, &product).await;
    let written = write(&shop.customer, &product, &review(&order, 1, "Buy at my shop!")).await.expect(201);
    let one = format!("/api/v1/reviews/{}", written.id());
    let hide = |by: &Client, reason: &str| by.post(&format!("{one}/hide"), &json!({ "reason": reason }));
    assert_eq!(ok(hide(&shop.customer, "spam").send().await).status, 403);
    let unfit = ok(hide(&support, "dislike").send().await);
    assert_eq!((unfit.status, unfit.text_at("/errors/0/pointer")), (422, "/reason"));
    let hidden = ok(hide(&support, "spam").send().await).expect(200);
    assert_eq!((hidden.text_at("/status"), hidden.text_at("/hidden_because")), ("hidden", "spam"));
    assert_eq!(rating(&shop, &product, &hidden).await, (0, Value::Null));
    assert!(pages(&shop.stranger, &format!("/api/v1/products/{product}/reviews?limit=100")).await.is_empty());
    assert_eq!(ok(shop.stranger.get(&one).await).status, 404);
    assert_eq!(ok(shop.customer.get(&one).await).expect(200).text_at("/hidden_because"), "spam");
    let listed = pages(&support, "/api/v1/reviews?status=hidden&limit=100").await;
    assert_eq!((listed.len(), &listed[0]["id"]), (1, &json!(written.id())));
    assert!(listed[0]["customer_id"].is_string());
    let stranger = shop.new_customer("nobody").await;
    assert!(pages(&stranger, "/api/v1/reviews?limit=100").await.is_empty(), "one's own only");
    assert_eq!(pages(&shop.customer, "/api/v1/reviews?limit=100").await.len(), 1);
    assert_eq!(ok(support.get("/api/v1/reviews?status=new").await).status, 400);

    // Neither a change nor writing it anew shows it.
    let body = json!({ "rating": 5, "text": "Buy, buy!" });
    ok(shop.customer.put(&one, &body).send().await).expect(200);
    ok(shop.customer.call(Method::DELETE, &one).send().await).expect(200);
    let anew = write(&shop.customer, &product, &review(&order, 5, "Buy, buy!")).await.expect(201);
    assert_eq!(anew.text_at("/status"), "hidden");
    assert_eq!(rating(&shop, &product, &anew).await, (0, Value::Null));
    let shown = ok(support.call(Method::POST, &format!("{one}/show")).send().await).expect(200);
    assert_eq!((shown.text_at("/status"), &shown.body["hidden_because"]), ("published", &Value::Null));
    assert_eq!(rating(&shop, &product, &shown).await, (1, json!(5.0)));
}

/// Many at once: each counts once, whatever is repeated, and after a kill the sum is what the reviews say.
// proves: CAT-3, P5, QRY-1, QRY-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_ratings_and_the_search_agree_after_a_kill() {
    let mut shop = Shop::open().await;
    let product = shop.product("KNIFE", 2_000, 1_000).await;
    let mut customers = Vec::new();
    for n in 0..7 {
        let customer = shop.new_customer(&format!("cook{n}")).await;
        let key = uuid::Uuid::now_v7().to_string();
        let placed = customer.post("/api/v1/orders", &order_of(&product, 1, "tok_visa")).key(&key);
        customers.push((customer, ok(placed.send().await).expect(201).id()));
    }
    for (_, order) in &customers {
        dispatched(&shop, order).await;
    }
    let reviews = customers.iter().enumerate().flat_map(|(n, (customer, order))| {
        let body = review(order, (n % 5) as u8 + 1, &format!("Sharp {n}"));
        let path = format!("/api/v1/products/{product}/reviews");
        // Twice at once, under one key.
        [0, 1].map(|_| customer.post(&path, &body).key(&format!("review-{n}")).send())
    });
    let replies = futures::future::join_all(reviews).await;
    let replies: Vec<Reply> = replies.into_iter().map(ok).collect();
    assert!(replies.iter().all(|reply| reply.status == 201 || reply.problem() == "in-flight"), "{replies:?}");
    shop.server.kill().unwrap();
    shop.restart();
    for (n, (customer, order)) in customers.iter().enumerate() {
        let body = review(order, (n % 5) as u8 + 1, &format!("Sharp {n}"));
        let path = format!("/api/v1/products/{product}/reviews");
        ok(customer.post(&path, &body).key(&format!("review-{n}")).send().await).expect(201);
    }
    // 1, 2, 3, 4, 5, 1, 2.
    let shown = tests::server::eventually("all reviews to count", SETTLES_WITHIN, || async {
        let shown = ok(shop.stranger.get(&format!("/api/v1/products/{product}")).await).expect(200);
        (shown.number_at("/rating/count") == 7).then_some(shown)
    })
    .await;
    assert_eq!(shown.body["rating"]["average"], json!(2.57));
    let listed = ok(shop.stranger.get("/api/v1/products?limit=100").await).expect(200);
    assert_eq!(listed.body["items"][0]["rating"], shown.body["rating"]);
    let found = tests::server::eventually("the product to be found", SETTLES_WITHIN, || async {
        let found = ok(shop.stranger.get("/api/v1/products/search?q=product").await).expect(200);
        (found.number_at("/total") == 1).then_some(found)
    })
    .await;
    assert_eq!(found.body["items"][0]["rating"], shown.body["rating"]);

    let path = format!("/api/v1/products/{product}/reviews?limit=2");
    let ratings =
        |items: &[Value]| items.iter().map(|item| item["rating"].as_i64().unwrap()).collect::<Vec<_>>();
    let best = pages(&shop.stranger, &format!("{path}&sort=-rating")).await;
    assert_eq!(ratings(&best), [5, 4, 3, 2, 2, 1, 1]);
    let newest = pages(&shop.stranger, &path).await;
    let times: Vec<&str> = newest.iter().map(|item| item["created_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|one, other| one >= other) && newest.len() == 7, "{times:?}");
    assert_eq!(ok(shop.stranger.get(&format!("{path}&sort=rating")).await).status, 400);

    // An update of the product goes by its version, whatever its reviews are by now.
    let tag = shown.header("etag").to_owned();
    assert!(tag.starts_with("\"1."), "{tag}");
    let unchanged = shop.stranger.call(Method::GET, &format!("/api/v1/products/{product}"));
    assert_eq!(ok(unchanged.header("if-none-match", &tag).send().await).status, 304);
    let body = json!({
        "sku": "KNIFE", "name": "Product KNIFE", "description": "Sharper.", "category": "things",
        "price": { "amount": 2_000, "currency": "EUR" },
    });
    let update =
        |tag: &str| shop.admin.put(&format!("/api/v1/products/{product}"), &body).header("if-match", tag);
    ok(update(&tag).send().await).expect(200);
    assert_eq!(ok(update(&tag).send().await).status, 412);
}
