//! Read models that start again under running processes of every other role: after an upgrade of the program, and after a restore.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tests::client::Client;
use tests::cluster::Cluster;
use tests::engines::engines;
use tests::history::History;
use tests::server::eventually;
use tests::shop::{Front, SETTLES_WITHIN, ok, order_of};

const PROJECTIONS: &str = "projections";
const WAIT: Duration = Duration::from_secs(60);

async fn sql(schema: &str) -> PgConnection {
    let mut sql = PgConnection::connect(&engines().postgres).await.unwrap();
    sql.execute(format!("SET search_path = {schema}").as_str()).await.unwrap();
    sql
}

/// An order, and the token of its placing.
type Order = (String, String);

/// Paid orders of long ago.
async fn paid_orders(front: &Front, product: &str, count: usize) -> Vec<Order> {
    let mut orders = Vec::new();
    for _ in 0..count {
        let placed = front.order(&front.customer, product, 1, "tok_visa").await;
        front.settled(&placed.id(), &["paid"]).await;
        orders.push((placed.id(), placed.header("sync-token").to_owned()));
    }
    orders
}

/// The provider has forgotten all keys: a call under an old one would be a new charge.
fn provider_forgets(cluster: &Cluster) {
    let books = cluster.place().path().join("simulator/simulator.db");
    let books = rusqlite::Connection::open(books).unwrap();
    books.busy_timeout(Duration::from_secs(10)).unwrap();
    books.execute_batch("DELETE FROM refunds; DELETE FROM charges; DELETE FROM tombstones").unwrap();
}

/// What becomes of the rows meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// Others take their place that hold as much.
    AreSwapped,
    /// They fall back, and hold what is asked for by its token only.
    FallBack,
}

/// Makes products and reads them under their tokens by id and by search, and reads old orders, until it is told to stop: how many answers
/// were to repeat, of how many.
async fn read_under_load(front: Front, orders: Vec<Order>, rows: Rows, stop: Arc<AtomicBool>) -> (u32, u32) {
    let (mut repeated, mut answers, mut n) = (0, 0, 0);
    let mut settle = async |client: &Client, path: &str, token: &str| {
        loop {
            let reply = ok(client.call(Method::GET, path).seen(token).send().await);
            answers += 1;
            match reply.status {
                200 => return reply,
                503 if matches!(reply.problem(), "stale" | "overloaded") => repeated += 1,
                _ => panic!("{path} under {token}: {} {}", reply.status, reply.text),
            }
        }
    };
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let word = format!("anew{n}");
        let body = json!({
            "sku": format!("ANEW-{n}"), "name": word, "description": "New.", "category": "things",
            "price": { "amount": 500, "currency": "EUR" },
        });
        let made = ok(front.admin.post("/api/v1/products", &body).send().await).expect(201);
        let token = made.header("sync-token").to_owned();
        let path = format!("/api/v1/products/{}", made.id());
        assert_eq!(settle(&front.stranger, &path, &token).await.text_at("/id"), made.id());
        let found = settle(&front.stranger, &format!("/api/v1/products/search?q={word}"), &token).await;
        assert_eq!(found.text_at("/items/0/id"), made.id(), "{}", found.text);
        let (order, placed) = &orders[n % orders.len()];
        let order = settle(&front.customer, &format!("/api/v1/orders/{order}"), placed).await;
        assert!(rows == Rows::FallBack || order.text_at("/status") == "paid", "{}", order.text);
        let all: Vec<&str> = orders.iter().map(|(_, token)| token.as_str()).collect();
        let listed = settle(&front.customer, "/api/v1/orders?limit=100", &all.join(",")).await;
        assert!(listed.body["items"].as_array().unwrap().len() >= orders.len(), "{}", listed.text);
    }
    (repeated, answers)
}

/// As if what is live had been made by the program before this one, in PostgreSQL and in Elasticsearch.
async fn as_of_an_older_program(name: &str) {
    let older = "UPDATE generations SET version = version - 1; UPDATE projections SET version = version - 1";
    sql(name).await.execute(older).await.unwrap();
    let (http, base) = (reqwest::Client::new(), &engines().elasticsearch);
    let all: Value =
        http.get(format!("{base}/{name}-*/_mapping")).send().await.unwrap().json().await.unwrap();
    for (index, mapping) in all.as_object().unwrap() {
        let mut meta = mapping["mappings"]["_meta"].clone();
        let version = meta["tillstream"]["version"].as_u64().unwrap();
        meta["tillstream"]["version"] = json!(version - 1);
        let put = http.put(format!("{base}/{index}/_mapping")).json(&json!({ "_meta": meta })).send();
        assert!(put.await.unwrap().status().is_success());
    }
}

async fn generations(name: &str) -> Vec<(String, i32)> {
    let select = "SELECT name, generation FROM projections WHERE generation > 0 ORDER BY name";
    sqlx::query_as(select).fetch_all(&mut sql(name).await).await.unwrap()
}

/// The process of the role `projections` is replaced by one whose versions are newer: readers and the sagas' worker in other processes,
/// which stay, see no empty answer and no missing one, and charge nothing again.
// proves: OPS-2, OPS-12, QRY-1, PAY-3, SAG-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_under_load_shows_nothing_empty_and_charges_nothing_again() {
    let round = History::begin("upgrade", 0);
    let mut cluster = Cluster::start(engines(), 1, &round, |_, _, start| start).await;
    let name = cluster.place().names().unwrap().name().to_owned();
    let front = cluster.front.clone();
    let product = front.product("OLD-1", 1_000, 1_000).await;
    let orders = paid_orders(&front, &product, 4).await;
    let before = generations(&name).await;
    provider_forgets(&cluster);
    as_of_an_older_program(&name).await;
    let stop = Arc::new(AtomicBool::new(false));
    let reading =
        tokio::spawn(read_under_load(front.clone(), orders.clone(), Rows::AreSwapped, Arc::clone(&stop)));
    cluster.terminate(PROJECTIONS, 0).await;
    cluster.restart(PROJECTIONS, 0).await;
    eventually("every projection to be swapped", WAIT, || async {
        let now = generations(&name).await;
        (now.len() == before.len() && now.iter().zip(&before).all(|(now, old)| now.1 > old.1)).then_some(())
    })
    .await;
    // The worker works on what is new, and on nothing else.
    let late = ok(front
        .customer
        .post("/api/v1/orders", &order_of(&product, 1, "tok_visa"))
        .key("late")
        .send()
        .await);
    let late = late.expect(201).id();
    front.settled(&late, &["paid"]).await;
    stop.store(true, Ordering::Relaxed);
    let (repeated, answers) = reading.await.unwrap();
    tell(&format!("{repeated} of {answers} answers were to repeat"));
    let charges = front.charges().await;
    assert_eq!(charges.len(), 1, "{charges:?}");
    assert_eq!(charges[0]["order_id"], late.as_str());
    for (order, _) in &orders {
        front.settled(order, &["paid"]).await;
    }
}

/// A PostgreSQL that is put back to what it was before the orders were settled, under running processes.
// proves: OPS-7, PAY-3, QRY-1, SAG-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_lost_its_last_commits_charges_nothing_again() {
    let round = History::begin("restore", 0);
    let mut cluster = Cluster::start(engines(), 1, &round, |_, _, start| start).await;
    let name = cluster.place().names().unwrap().name().to_owned();
    let front = cluster.front.clone();
    let product = front.product("OLD-1", 1_000, 1_000).await;
    let mut db = sql(&name).await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
         WHERE schemaname LIKE $1 || '\\_%' OR (schemaname = $1 AND tablename = 'checkpoints')",
    )
    .bind(&name)
    .fetch_all(&mut db)
    .await
    .unwrap();
    for (n, table) in tables.iter().enumerate() {
        let back_up = format!("CREATE TABLE {name}.backed_{n} AS TABLE {table}");
        db.execute(back_up.as_str()).await.unwrap();
    }
    let orders = paid_orders(&front, &product, 4).await;
    let stop = Arc::new(AtomicBool::new(false));
    provider_forgets(&cluster);
    cluster.kill(PROJECTIONS, 0);
    let mut put_back = "BEGIN;".to_owned();
    for (n, table) in tables.iter().enumerate() {
        put_back += &format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM {name}.backed_{n};");
    }
    db.execute((put_back + "COMMIT").as_str()).await.unwrap();
    let reading =
        tokio::spawn(read_under_load(front.clone(), orders.clone(), Rows::FallBack, Arc::clone(&stop)));
    cluster.restart(PROJECTIONS, 0).await;
    let late = front.order(&front.customer, &product, 1, "tok_visa").await.id();
    front.settled(&late, &["paid"]).await;
    stop.store(true, Ordering::Relaxed);
    reading.await.unwrap();
    let charges = front.charges().await;
    assert_eq!(charges.len(), 1, "{charges:?}");
    assert_eq!(charges[0]["order_id"], late.as_str());
    eventually("the orders to be settled", SETTLES_WITHIN, || async {
        let done = orders.iter().map(|(order, _)| front.settled(order, &["paid"]));
        futures::future::join_all(done).await;
        Some(())
    })
    .await;
}

#[expect(clippy::print_stderr, reason = "the output of a test")]
fn tell(what: &str) {
    eprintln!("{what}");
}
