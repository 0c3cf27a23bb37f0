//! Identifiers that people type have one normal form: warehouses, categories, names of attributes.

use serde_json::{Value, json};

use super::world::{World, pointers, product, refused, with};

// proves: INV-1
#[tokio::test(flavor = "multi_thread")]
async fn spellings_of_a_warehouse_are_one_warehouse() {
    let world = World::start().await;
    let (mug, _) = world.product("MUG-1").await;
    let path = format!("/api/v1/products/{mug}/inventory");
    let mut token = String::new();
    for name in ["main", "main ", "Main", "ma\u{200b}in", "\u{feff}MAIN", "ｍａｉｎ", "main\u{a0}"] {
        let reply = world
            .admin
            .put(&path, &json!({"on_hand": 3, "warehouse": name}))
            .send()
            .await
            .unwrap()
            .expect(200);
        assert_eq!((reply.text_at("/warehouse"), reply.number_at("/total/on_hand")), ("main", 3), "{name:?}");
        token = reply.header("sync-token").to_owned();
    }
    let reply = world.admin.put(&path, &json!({"on_hand": 4})).send().await.unwrap().expect(200);
    assert_eq!(reply.number_at("/total/on_hand"), 4, "the default is the same one");
    let other =
        world.admin.put(&path, &json!({"on_hand": 2, "warehouse": "North  West"})).send().await.unwrap();
    token = if other.status == 200 { other.header("sync-token").to_owned() } else { token };
    let call = world
        .server
        .client()
        .call(reqwest::Method::GET, &format!("/api/v1/inventory/availability?product_id={mug}"));
    assert_eq!(call.seen(&token).send().await.unwrap().expect(200).number_at("/items/0/available"), 6);
    for name in ["", " ", "\u{200b}", "\u{3164}", "ma\u{7}in", "ma\u{e000}in", "ma\u{378}in"] {
        let reply = world.admin.put(&path, &json!({"on_hand": 3, "warehouse": name})).send().await.unwrap();
        refused(&reply, 422, "validation-failed");
        assert_eq!(pointers(&reply), ["/warehouse"], "{name:?}");
    }
}

// proves: CAT-1, CAT-2
#[tokio::test(flavor = "multi_thread")]
async fn spellings_of_a_category_are_one_category() {
    let world = World::start().await;
    let mut token = String::new();
    for (n, category) in
        ["Tea & Coffee", "tea &  coffee ", "TEA\u{200b} & COFFEE", "Te\u{301}a"].into_iter().enumerate()
    {
        let body = with(&product(&format!("C-{n}")), "/category", category);
        let made = world.create(&body).await.expect(201);
        if n == 0 {
            assert_eq!(made.text_at("/category"), "Tea & Coffee", "as it was typed");
        }
        token = if token.is_empty() {
            made.header("sync-token").to_owned()
        } else {
            format!("{token}, {}", made.header("sync-token"))
        };
    }
    let get = async |path: &str| {
        let call = world.server.client().call(reqwest::Method::GET, path);
        call.seen(&token).send().await.unwrap()
    };
    for category in
        ["Tea+%26+Coffee", "tea%20%26%20coffee", "+TEA+%26++COFFEE%C2%A0", "%EF%BC%B4ea+%26+coffee"]
    {
        for path in ["/api/v1/products", "/api/v1/products/search"] {
            let found = get(&format!("{path}?category={category}")).await.expect(200);
            assert_eq!(found.body["items"].as_array().unwrap().len(), 3, "{path} {category}: {}", found.text);
        }
    }
    let all = get("/api/v1/products/search").await.expect(200);
    let facets: Vec<_> =
        all.body["facets"]["category"].as_array().unwrap().iter().map(|f| f["count"].clone()).collect();
    assert_eq!((facets, all.number_at("/total")), (vec![Value::from(3), Value::from(1)], 4), "{}", all.text);
    for category in ["", "%20", "%E2%80%8B", "a%01"] {
        refused(&get(&format!("/api/v1/products?category={category}")).await, 400, "bad-parameter");
    }
    for category in ["\u{200b}", "a\u{e000}"] {
        let reply = world.create(&with(&product("C-9"), "/category", category)).await;
        assert_eq!((reply.status, pointers(&reply)), (422, vec!["/category".to_owned()]));
    }
}

// proves: CAT-1
#[tokio::test(flavor = "multi_thread")]
async fn spellings_of_an_attribute_name_are_one_attribute() {
    let world = World::start().await;
    let made = world
        .create(&with(&product("A-1"), "/attributes", json!({" Colour\u{200b} ": "red", "size": "M"})))
        .await;
    assert_eq!(made.expect(201).body["attributes"], json!({"Colour": "red", "size": "M"}));
    for other in ["colour", "COLOUR ", "ｃolour", "co\u{ad}lour"] {
        let body = with(&product("A-2"), "/attributes", json!({"Colour": "red", other: "blue"}));
        let reply = world.create(&body).await;
        refused(&reply, 422, "validation-failed");
    }
    let reply = world.create(&with(&product("A-2"), "/attributes", json!({"\u{200b}": "red"}))).await;
    refused(&reply, 422, "validation-failed");
}
