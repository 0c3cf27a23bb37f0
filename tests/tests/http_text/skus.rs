//! A SKU is unique in a tenant among the products that are not discontinued.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::catalogue::product::{ProductCommand, ProductDetails};
use domain::catalogue::sku_claim::{self, SkuClaim};
use domain::command::{CommandId, CommandRequest, Step};
use domain::money::{Currency, Money};
use domain::stream::{DEFAULT_TENANT, StreamId};
use futures::future::join_all;
use infra::serve::App;
use serde_json::{Value, json};
use tests::client::{Client, Reply};
use tests::server::eventually;
use uuid::Uuid;

use super::world::{World, in_process, pointers, product, refused, with};

async fn create(admin: &Client, sku: &str, key: &str) -> Reply {
    admin.post("/api/v1/products", &product(sku)).key(key).send().await.unwrap()
}

async fn update(admin: &Client, id: &str, body: &Value, version: &str) -> Reply {
    admin.put(&format!("/api/v1/products/{id}"), body).header("if-match", version).send().await.unwrap()
}

// proves: CAT-1
#[tokio::test(flavor = "multi_thread")]
async fn a_sku_is_one_products_in_all_its_spellings() {
    let world = World::start().await;
    let first = create(&world.admin, "MUG-1", "k").await.expect(201);
    assert_eq!(first.text_at("/sku"), "MUG-1", "as it was typed");
    for sku in ["MUG-1", "mug-1", " Mug-1 ", "MUG\u{2011}1", "M\u{200b}UG-1", "ＭＵＧ-1"] {
        refused(&world.create(&product(sku)).await, 409, "sku-taken");
    }
    // A repeat has its first answer; the same key with another body, even of another number, is none.
    let repeat = create(&world.admin, "MUG-1", "k").await.expect(201);
    assert_eq!((&repeat.body, repeat.header("idempotency-replayed")), (&first.body, "true"));
    for n in 0..8 {
        refused(&create(&world.admin, &format!("CUP-{n}"), "k").await, 422, "idempotency-key-reused");
    }
    refused(&create(&world.admin, "MUG-1", "other").await, 409, "sku-taken");
    for sku in ["", "\u{200b}", "a\u{7}", "a\u{e000}"] {
        let reply = world.create(&product(sku)).await;
        assert_eq!((reply.status, pointers(&reply)), (422, vec!["/sku".to_owned()]), "{sku:?}");
    }
    // Both events share a frame's command: one correlation, one cause.
    let auditor = world.account("auditor").await;
    let seen = async |path: &str| {
        let call = auditor.call(reqwest::Method::GET, path).seen(first.header("sync-token"));
        call.send().await.unwrap().expect(200)
    };
    let events = seen(&format!("/api/v1/audit/streams/product/{}/events", first.id())).await;
    let cause = events.text_at("/items/0/causation_id").to_owned();
    let claims = seen("/api/v1/audit/events?type=sku_claim.claimed").await;
    let ours = claims.body["items"].as_array().unwrap().iter().find(|e| e["data"]["sku"] == "mug-1").unwrap();
    assert_eq!(ours["causation_id"], cause.as_str());
}

// proves: CAT-1
#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_want_one_sku_at_once_one_gets_it() {
    let world = World::start().await;
    for round in 0..5 {
        let sku = format!("RACE-{round}");
        let spellings = [sku.clone(), sku.to_lowercase(), format!(" {sku}"), format!("{sku}\u{200b}")];
        let calls = (0..16).map(|n| {
            let (admin, sku) = (world.admin.clone(), spellings[n % 4].clone());
            async move { admin.post("/api/v1/products", &product(&sku)).send().await.unwrap() }
        });
        let replies = join_all(calls).await;
        let made = replies.iter().filter(|reply| reply.status == 201).count();
        assert_eq!(made, 1, "{:?}", replies.iter().map(|reply| reply.status).collect::<Vec<_>>());
        replies.iter().filter(|reply| reply.status != 201).for_each(|reply| refused(reply, 409, "sku-taken"));
    }
}

// proves: CAT-1
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_sku_claims_the_new_and_gives_up_the_old() {
    let world = World::start().await;
    let admin = &world.admin;
    let (one, _) = world.product("ONE").await;
    let (two, _) = world.product("TWO").await;
    // Another's number is refused and nothing changes; one's own in another spelling is not another's.
    refused(&update(admin, &two, &product("one"), "\"1\"").await, 409, "sku-taken");
    update(admin, &two, &product("two"), "\"1\"").await.expect(200);
    refused(&world.create(&product("TWO")).await, 409, "sku-taken");
    // Old numbers are free at once, and new ones are taken.
    let changed = update(admin, &one, &product("UNO"), "\"1\"").await.expect(200);
    assert_eq!(changed.text_at("/sku"), "UNO");
    refused(&world.create(&product("uno")).await, 409, "sku-taken");
    let (three, _) = world.product("One").await;
    refused(&update(admin, &one, &product("ONE"), "*").await, 409, "sku-taken");
    update(admin, &three, &product("TRE"), "*").await.expect(200);
    update(admin, &one, &product("ONE"), "*").await.expect(200);
    refused(&world.create(&product("one")).await, 409, "sku-taken");
    // A change that is refused takes nothing with it.
    refused(&update(admin, &one, &product("FREE"), "\"1\"").await, 412, "stale-version");
    world.product("FREE").await;
    // And a repeat of one has its first answer, although its number is another's by now.
    let call =
        || admin.put(&format!("/api/v1/products/{two}"), &product("DUE")).header("if-match", "*").key("u");
    let first = call().send().await.unwrap().expect(200);
    let last = update(admin, &two, &product("ZWEI"), "*").await.expect(200);
    world.product("DUE").await;
    let repeat = call().send().await.unwrap().expect(200);
    assert_eq!((&repeat.body, repeat.header("idempotency-replayed")), (&first.body, "true"));
    let now = admin.call(reqwest::Method::GET, &format!("/api/v1/products/{two}"));
    let now = now.seen(last.header("sync-token")).send().await.unwrap().expect(200);
    assert_eq!(now.text_at("/sku"), "ZWEI");
    // What leaves the number alone needs no claim.
    let cheaper = with(&product("ZWEI"), "/price", json!({"amount": 1, "currency": "EUR"}));
    update(admin, &two, &cheaper, "*").await.expect(200);
}

// proves: CAT-1
#[tokio::test(flavor = "multi_thread")]
async fn many_changes_at_once_leave_every_sku_with_one_product() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(world.product(&format!("P-{n}")).await.0);
    }
    let mut tokens = Vec::new();
    for _ in 0..5 {
        let calls = (0..16).map(|n| {
            let (admin, id) = (world.admin.clone(), ids[n % 4].clone());
            let sku = format!("Q-{}", n % 3);
            async move { update(&admin, &id, &product(&sku), "*").await }
        });
        for reply in join_all(calls).await {
            assert!([200, 409, 412].contains(&reply.status), "{}", reply.text);
            tokens.extend((reply.status == 200).then(|| reply.header("sync-token").to_owned()));
        }
    }
    let auditor = world.account("auditor").await;
    let mut skus: Vec<String> = Vec::new();
    for id in &ids {
        let call = auditor.call(reqwest::Method::GET, &format!("/api/v1/audit/streams/product/{id}"));
        let state = call.seen(&tokens.join(", ")).send().await.unwrap().expect(200);
        skus.push(state.text_at("/state/details/sku").to_owned());
    }
    skus.sort();
    let before = skus.len();
    skus.dedup();
    assert_eq!(skus.len(), before, "{skus:?}");
    for sku in &skus {
        refused(&world.create(&product(sku)).await, 409, "sku-taken");
    }
}

/// A product as a program made it that knew no claims.
async fn of_yesterday(app: &App, sku: &str) -> Uuid {
    let gateway = &app.command_state().unwrap().gateway;
    let id = Uuid::now_v7();
    let details = ProductDetails {
        sku: sku.into(),
        name: "Mug".into(),
        description: String::new(),
        category: "mugs".into(),
        attributes: BTreeMap::new(),
    };
    let create = ProductCommand::Create { details, price: Money::new(500, Currency::Eur) };
    let steps = vec![Step::create(StreamId::new(DEFAULT_TENANT, "product", id), create)];
    gateway.submit(CommandRequest::new(CommandId::fresh(), "system:yesterday", steps)).await.unwrap();
    id
}

// proves: CAT-1, OPS-12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn products_of_the_program_before_claim_their_skus_at_a_start_the_older_first() {
    let temp = tempfile::tempdir().unwrap();
    let config = in_process(&temp.path().join("data"));
    let address = "127.0.0.1:1".parse().unwrap();
    let app = Box::pin(App::open(&infra::shop::application(&config), &config, address)).await.unwrap();
    let older = of_yesterday(&app, "Old-1").await;
    of_yesterday(&app, "OLD-1 ").await;
    let other = of_yesterday(&app, "old-2").await;
    app.stop().await;
    drop(app);

    let app = Box::pin(App::open(&infra::shop::application(&config), &config, address)).await.unwrap();
    let gateway = &app.command_state().unwrap().gateway;
    for (sku, holder) in [("old-1", older), ("old-2", other)] {
        let stream = sku_claim::stream(DEFAULT_TENANT, sku);
        let held = eventually("the claim", Duration::from_secs(120), async || {
            let views = gateway.read(std::slice::from_ref(&stream)).await.ok()?;
            views[0].state::<SkuClaim>()?.holder
        })
        .await;
        assert_eq!(held.product_id, holder, "{sku}");
    }
    app.stop().await;
}
