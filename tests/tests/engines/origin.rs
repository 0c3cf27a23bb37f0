//! What was made from which log, on the engines: another store's schema, indices and topic are refused by name; rows that the log
//! contradicts are made anew; and names that are mistyped make nothing.

use std::path::Path;

use reqwest::Method;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tests::cassandra::Rows;
use tests::engines::{Names, engines, fresh_name};
use tests::server::{Ended, Place, Start, eventually, tillstream};
use tests::shop::{Front, SETTLES_WITHIN, ok, pages};

/// A store with the usual accounts, and so with events everywhere.
fn bootstrapped() -> (Place, std::path::PathBuf) {
    let place = Place::on(engines());
    let credentials = place.path().join("credentials.json");
    let done = operate(&place, &["bootstrap", "--credentials", text(&credentials)]);
    assert_eq!(done.code, 0, "{}", done.err);
    (place, credentials)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn operate(place: &Place, args: &[&str]) -> Ended {
    tillstream(&[args, &["--data-dir", text(&place.data())]].concat())
}

fn setting(place: &Place, key: &str) -> String {
    let settings = place.names().map(Names::settings).unwrap();
    settings.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone()).unwrap()
}

async fn database() -> PgConnection {
    PgConnection::connect(&engines().postgres).await.unwrap()
}

// proves: EVT-7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_store_made_is_refused_by_name() {
    let [(ours, _one), (theirs, _two)] = [bootstrapped(), bootstrapped()];
    let serve = |set: &[(&str, &str)]| {
        let start =
            Start::serve(&ours.data()).set("payments.url", "simulator:").set("carrier.url", "simulator:");
        set.iter().fold(start, |start, (key, value)| start.set(key, value))
    };
    let name = theirs.names().unwrap().name().to_owned();
    let keys = format!("{}?schema={}_keys", engines().postgres, ours.names().unwrap().name());
    let (read, search, feed) =
        (setting(&theirs, "read.url"), setting(&theirs, "search.url"), setting(&theirs, "feed.url"));
    let mixed: [(&[(&str, &str)], &str); 3] = [
        (&[("read.url", &read), ("keys.url", &keys)], "the schema"),
        (&[("search.url", &search)], "the search index"),
        (&[("feed.url", &feed)], "the topic"),
    ];
    for (set, what) in mixed {
        let error = serve(set).start().expect_err("it is refused").to_string();
        assert!(error.contains(what) && error.contains(&name), "{error}");
        assert!(error.contains("the log here is that of the store"), "{error}");
        let sets: Vec<String> = set.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut args = vec!["migrate"];
        sets.iter().for_each(|set| args.extend(["--set", set]));
        let done = operate(&ours, &args);
        assert!(done.code != 0 && done.err.contains(what), "{}", done.err);
    }
    // Alone it is right.
    serve(&[]).start().unwrap().terminate().unwrap();
}

/// As after the log's tables were put back from an older copy and went on.
// proves: EVT-7, EVT-3, SAG-1, PAY-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_the_log_contradicts_are_made_anew() {
    let (place, credentials) = bootstrapped();
    let start =
        Start::serve(&place.data()).set("payments.url", "simulator:").set("carrier.url", "simulator:");
    let mut server = start.start().unwrap();
    let front = Front::sign_in(server.client(), &credentials).await;
    let product = front.product("KEPT-1", 1_000, 100).await;
    let order = front.order(&front.customer, &product, 1, "tok_visa").await.id();
    front.settled(&order, &["paid"]).await;
    let charged = front.charges().await.len();
    assert!(server.terminate().unwrap().success());

    let (name, mut db) = (place.names().unwrap().name().to_owned(), database().await);
    for change in [
        format!("UPDATE {name}.checkpoints SET hash = decode(repeat('00', 32), 'hex') WHERE marked > 0"),
        format!("UPDATE {name}_products_1.products SET name = 'Lost'"),
        format!("UPDATE {name}_sagas_1.saga_work SET closed_at = NULL, closed_version = 0"),
    ] {
        assert!(sqlx::query(&change).execute(&mut db).await.unwrap().rows_affected() > 0, "{change}");
    }
    let mut server = start.start().unwrap();
    let front = Front::sign_in(server.client(), &credentials).await;
    new_product(&front, "NEW-1").await;
    let all = pages(&front.stranger, "/api/v1/products?limit=100").await;
    assert!(all.len() == 2 && all.iter().all(|product| product["name"] != "Lost"), "{all:?}");
    let fresh = front.order(&front.customer, &product, 1, "tok_visa").await.id();
    front.settled(&fresh, &["paid"]).await;
    front.settled(&order, &["paid"]).await;
    assert_eq!(front.charges().await.len(), charged + 1);
    assert!(server.terminate().unwrap().success());
    let done = operate(&place, &["conservation"]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
}

/// What the program names to be emptied when an older log was restored on purpose.
const DERIVED: [&str; 5] =
    ["events_by_stream", "snapshots", "command_results", "derived_marks", "shard_progress"];

/// A product whose answer carries the token by which it must be seen at once.
async fn new_product(front: &Front, sku: &str) -> String {
    let body = json!({
        "sku": sku, "name": format!("Product {sku}"), "description": "", "category": "things",
        "price": { "amount": 500, "currency": "EUR" },
    });
    let made = ok(front.admin.post("/api/v1/products", &body).send().await).expect(201);
    let path = format!("/api/v1/products/{}", made.id());
    let seen = front.stranger.call(Method::GET, &path).header("Sync-Token", made.header("sync-token"));
    assert_eq!(ok(seen.send().await).expect(200).id(), made.id());
    made.id()
}

async fn session(place: &Place) -> scylla::client::session::Session {
    let session = scylla::client::session_builder::SessionBuilder::new().known_node(&engines().cassandra);
    let session = session.build().await.unwrap();
    session.use_keyspace(place.names().unwrap().name(), true).await.unwrap();
    session
}

/// An operator restores yesterday's log in Cassandra, and does as the program advises: first for the rows derived there, then for the topic.
/// Read models and search notice by themselves.
// proves: EVT-7, EVT-3, QRY-1, SAG-1, PAY-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_log_beside_newer_engines_is_what_is_served() {
    let (place, credentials) = bootstrapped();
    let serve =
        || Start::serve(&place.data()).set("payments.url", "simulator:").set("carrier.url", "simulator:");
    let mut server = serve().start().unwrap();
    let front = Front::sign_in(server.client(), &credentials).await;
    let product = front.product("KEPT-1", 1_000, 100).await;
    let order = front.order(&front.customer, &product, 1, "tok_visa").await.id();
    front.settled(&order, &["paid"]).await;
    assert!(server.terminate().unwrap().success());
    let session = session(&place).await;
    let older = Rows::copy(&session, "log").await;

    let mut server = serve().start().unwrap();
    let front = Front::sign_in(server.client(), &credentials).await;
    let mut lost = Vec::new();
    for n in 0..20 {
        lost.push(front.product(&format!("LOST-{n}"), 1_000, 10).await);
    }
    let unknown = front.order(&front.customer, &lost[0], 1, "tok_visa").await.id();
    front.settled(&unknown, &["paid"]).await;
    let charged = front.charges().await.len();
    assert!(server.terminate().unwrap().success());

    older.put_back(&session).await;
    let advice = serve().start().expect_err("it is refused").to_string();
    assert!(DERIVED.iter().all(|table| advice.contains(table)), "{advice}");
    for table in DERIVED {
        session.query_unpaged(format!("TRUNCATE {table}"), &[]).await.unwrap();
    }
    let advice = serve().start().expect_err("it is refused").to_string();
    assert!(advice.contains("name another topic in feed.url and run `tillstream migrate`"), "{advice}");
    let topic = format!("{}_again", setting(&place, "feed.url"));
    let done = operate(&place, &["migrate", "--set", &format!("feed.url={topic}")]);
    assert_eq!(done.code, 0, "{}", done.err);

    let mut server = serve().set("feed.url", &topic).start().unwrap();
    let front = Front::sign_in(server.client(), &credentials).await;
    let mut made = Vec::new();
    for n in 0..20 {
        made.push(new_product(&front, &format!("RESTORED-{n}")).await);
    }
    let all = pages(&front.stranger, "/api/v1/products?limit=100").await;
    let all: Vec<&str> = all.iter().map(|product| product["id"].as_str().unwrap()).collect();
    assert!(made.iter().chain([&product]).all(|id| all.contains(&id.as_str())), "{all:?}");
    assert!(!lost.iter().any(|id| all.contains(&id.as_str())), "{all:?}");
    let found = async |q: &str| {
        pages(&front.stranger, &format!("/api/v1/products/search?q={q}&limit=100")).await.len()
    };
    eventually("the search to find what is there", SETTLES_WITHIN, || async {
        (found("RESTORED").await == 20 && found("KEPT").await == 1).then_some(())
    })
    .await;
    assert_eq!(found("LOST").await, 0);
    assert_eq!(ok(front.admin.get(&format!("/api/v1/orders/{unknown}")).await).status, 404);
    // The order of before was settled, and stays so; new ones are fulfilled.
    front.settled(&order, &["paid"]).await;
    let fresh = front.order(&front.customer, &product, 2, "tok_visa").await.id();
    front.settled(&fresh, &["paid"]).await;
    front.stock(&product, 100, 3).await;
    assert_eq!(front.charges().await.len(), charged + 1);
    eventually("the health to be up", SETTLES_WITHIN, || async {
        (ok(front.stranger.get("/health").await).text_at("/status") == "up").then_some(())
    })
    .await;
    assert!(server.terminate().unwrap().success());
    for command in ["verify", "conservation"] {
        let done = operate(&place, &[command, "--set", &format!("feed.url={topic}")]);
        assert_eq!(done.code, 0, "{command}: {}{}", done.out, done.err);
    }
}

/// The log is gone or empty, and everything else is there.
// proves: EVT-7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_gone_is_refused_on_the_engines() {
    let (place, credentials) = bootstrapped();
    let start =
        Start::serve(&place.data()).set("payments.url", "simulator:").set("carrier.url", "simulator:");
    let mut server = start.start().unwrap();
    let front = Front::sign_in(server.client(), &credentials).await;
    let product = front.product("ONLY-1", 1_000, 10).await;
    let path = format!("/api/v1/products/{product}");
    eventually("the product to be seen", SETTLES_WITHIN, || async {
        (ok(front.stranger.get(&path).await).status == 200).then_some(())
    })
    .await;
    assert!(server.terminate().unwrap().success());

    let name = place.names().unwrap().name().to_owned();
    let session = session(&place).await;
    for table in ["log"].into_iter().chain(DERIVED) {
        session.query_unpaged(format!("TRUNCATE {table}"), &[]).await.unwrap();
    }
    let error = start.start().expect_err("it is refused").to_string();
    // Whichever of the others is met first.
    let said = ["the log holds no event", "which the log doesn't hold"];
    assert!(said.iter().any(|said| error.contains(said)), "{error}");
    session.query_unpaged(format!("DROP KEYSPACE {name}"), &[]).await.unwrap();
    let error = start.start().expect_err("it is refused").to_string();
    assert!(error.contains(&format!("keyspace {name} holds no store")), "{error}");
    let done = operate(&place, &["migrate"]);
    assert!(done.code != 0 && done.err.contains("put the keyspace back"), "{}", done.err);
    // Whatever else is left of them tells too.
    let mut db = database().await;
    sqlx::query(&format!("ALTER SCHEMA {name} RENAME TO {name}_away")).execute(&mut db).await.unwrap();
    let done = operate(&place, &["migrate"]);
    assert!(done.code != 0 && done.err.contains("the search index"), "{}", done.err);
    place.names().unwrap().delete_indices().await.unwrap();
    let done = operate(&place, &["migrate"]);
    assert!(done.code != 0 && done.err.contains("the topic"), "{}", done.err);
    let rows = session
        .query_unpaged("SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?", (&name,))
        .await
        .unwrap();
    assert_eq!(rows.into_rows_result().unwrap().rows_num(), 0, "nothing was made");
}

/// A keyspace, a schema, a prefix.
// proves: EVT-7, OPS-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_must_find_a_store_make_none_on_the_engines() {
    let (place, _credentials) = bootstrapped();
    let wrong = fresh_name();
    let keys = format!("{}?schema={}_keys", engines().postgres, place.names().unwrap().name());
    let log = format!("log.url=cassandra://{}/{wrong}", engines().cassandra);
    let read = format!("read.url={}?schema={wrong}", engines().postgres);
    let search = format!("search.url={}/{wrong}", engines().elasticsearch);
    let keys = format!("keys.url={keys}");
    let commands: [&[&str]; 12] = [
        &["verify", "--set", &log],
        &["conservation", "--set", &log],
        &["rebuild", "--set", &log],
        &["redrive", "orders", "--set", &log],
        &["conservation", "--set", &read, "--set", &keys],
        &["rebuild", "orders", "--set", &read, "--set", &keys],
        &["rebuild", "orders", "--rollback", "--set", &read, "--set", &keys],
        &["redrive", "orders", "--set", &read, "--set", &keys],
        &["redrive", "orders", "--set", &read],
        &["rebuild", "search", "--set", &search],
        &["rebuild", "search", "--rollback", "--set", &search],
        &["redrive", "search", "--set", &search],
    ];
    let mut db = database().await;
    for command in commands {
        let done = operate(&place, command);
        assert_ne!(done.code, 0, "{command:?}: {}", done.out);
        let made: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_namespace WHERE nspname LIKE $1 || '%'")
            .bind(&wrong)
            .fetch_one(&mut db)
            .await
            .unwrap();
        assert_eq!(made, 0, "{command:?} made a schema");
    }
    let indices = reqwest::get(format!("{}/{wrong}-*/_alias", engines().elasticsearch)).await.unwrap();
    assert_eq!(indices.text().await.unwrap(), "{}");
    let session = scylla::client::session_builder::SessionBuilder::new().known_node(&engines().cassandra);
    let session = session.build().await.unwrap();
    assert!(session.get_cluster_state().get_keyspace(&wrong).is_none());
}
