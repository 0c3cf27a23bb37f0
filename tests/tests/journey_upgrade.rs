//! A shop of one process whose program is replaced by one with newer versions of every projection: its rows and its index are filled
//! beside the old ones, which are read until then.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tests::server::eventually;
use tests::shop::{SETTLES_WITHIN, Shop, ok};

/// How the rows of the program before differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Another mapping into the same tables.
    SameShape,
    /// A table lacks a column, so that nobody can read what the program needs.
    OtherShape,
}

/// As if what is there had been made by the program before this one.
fn as_of_an_older_program(data: &Path, before: Before) {
    let rows = rusqlite::Connection::open(data.join("read.db")).unwrap();
    rows.execute_batch("UPDATE projections SET version = version - 1").unwrap();
    if before == Before::OtherShape {
        rows.execute_batch("ALTER TABLE orders RENAME COLUMN customer_id TO buyer").unwrap_or_else(|_| {
            // An index may name it.
            rows.execute_batch(
                "DROP INDEX orders_by_customer; ALTER TABLE orders RENAME COLUMN customer_id TO buyer",
            )
            .unwrap();
        });
        rows.execute_batch("UPDATE projections SET ddl = 'another' WHERE name = 'orders'").unwrap();
    }
    let meta = data.join("search/meta.json");
    let text = std::fs::read_to_string(&meta).unwrap();
    let mut index: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut payload: serde_json::Value = serde_json::from_str(index["payload"].as_str().unwrap()).unwrap();
    let version = payload["stamp"]["version"].as_u64().unwrap();
    payload["stamp"]["version"] = json!(version - 1);
    index["payload"] = payload.to_string().into();
    std::fs::write(&meta, index.to_string()).unwrap();
}

/// The provider has forgotten all keys.
fn provider_forgets(data: &Path) {
    let books = rusqlite::Connection::open(data.join("simulator.db")).unwrap();
    books.execute_batch("DELETE FROM refunds; DELETE FROM charges; DELETE FROM tombstones").unwrap();
}

fn versions(data: &Path) -> Vec<(String, u32)> {
    let rows = rusqlite::Connection::open(data.join("read.db")).unwrap();
    let mut select = rows.prepare("SELECT name, version FROM projections ORDER BY name").unwrap();
    let all = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    all.collect::<Result<_, _>>().unwrap()
}

// proves: OPS-12, QRY-1, PAY-3, SAG-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newer_versions_are_filled_beside_the_rows_that_are_read() {
    for before in [Before::SameShape, Before::OtherShape] {
        upgrade(before).await;
    }
}

async fn upgrade(before: Before) {
    let mut shop = Shop::open().await;
    let data = shop.server.dir.clone();
    if !data.join("read.db").exists() {
        // On the engines: see engines/upgrade.rs.
        return;
    }
    let product = shop.product("OLD-1", 1_000, 1_000).await;
    let mut orders = Vec::new();
    for _ in 0..4 {
        let placed = shop.order(&shop.customer, &product, 1, "tok_visa").await;
        shop.settled(&placed.id(), &["paid"]).await;
        orders.push((placed.id(), placed.header("sync-token").to_owned()));
    }
    assert!(shop.server.terminate().unwrap().success());
    let new = versions(&data);
    as_of_an_older_program(&data, before);
    provider_forgets(&data);
    shop.restart();

    let mut refused = 0;
    let mut asked = 0;
    loop {
        for (order, token) in &orders {
            for call in [
                shop.customer.call(Method::GET, &format!("/api/v1/orders/{order}")),
                shop.customer.call(Method::GET, &format!("/api/v1/orders/{order}")).seen(token),
                shop.customer.call(Method::GET, "/api/v1/orders"),
            ] {
                let reply = ok(call.send().await);
                asked += 1;
                match reply.status {
                    200 => assert!(
                        reply.text_at("/status") == "paid"
                            || reply.body["items"]
                                .as_array()
                                .is_some_and(|items| items.len() == orders.len()),
                        "{before:?}: {}",
                        reply.text
                    ),
                    503 if reply.problem() == "stale" => refused += 1,
                    _ => panic!("{before:?}: {} {}", reply.status, reply.text),
                }
            }
        }
        let found = ok(shop.stranger.get("/api/v1/products/search?q=product").await);
        match found.status {
            200 => assert_eq!(found.text_at("/items/0/id"), product, "{}", found.text),
            503 if found.problem() == "stale" => refused += 1,
            _ => panic!("{before:?}: {} {}", found.status, found.text),
        }
        if versions(&data) == new && ok(shop.stranger.get("/health/ready").await).status == 200 {
            break;
        }
    }
    // What can be read is read.
    assert!(
        asked > refused && (before == Before::OtherShape || refused == 0),
        "{refused} of {asked} refused"
    );
    eventually("the read models to be filled", Duration::from_secs(60), || async {
        (ok(shop.stranger.get("/health/ready").await).status == 200).then_some(())
    })
    .await;
    let late = shop.order(&shop.customer, &product, 1, "tok_visa").await;
    let seen = shop.customer.call(Method::GET, &format!("/api/v1/orders/{}", late.id()));
    ok(seen.seen(late.header("sync-token")).send().await).expect(200);
    eventually("the order to be paid", SETTLES_WITHIN, || async {
        (shop.charges().await.len() == 1).then_some(())
    })
    .await;
    let charges = shop.charges().await;
    assert_eq!((charges.len(), &charges[0]["order_id"]), (1, &json!(late.id())), "{charges:?}");
    assert!(shop.server.terminate().unwrap().success());
}
