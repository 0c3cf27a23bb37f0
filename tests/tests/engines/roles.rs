//! Roles over the engines: all in one process, and each in its own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;
use tests::client::Client;
use tests::engines::{Names, engines};
use tests::server::{Ended, Server, Start, eventually, tillstream};
use tests::shop::{SETTLES_WITHIN, ok, order_of, pages};

/// An installation on the engines, and a directory for its processes.
struct Installation {
    // Dropped first: the directory tells what happened until then.
    names: Names,
    temp: tempfile::TempDir,
}

impl Installation {
    fn new() -> Self {
        let this = Self { names: Names::fresh(engines()), temp: tempfile::tempdir().unwrap() };
        this.names.write(&this.temp.path().join("operator.toml"));
        this
    }

    /// The data directory of a process, with its configuration beside it.
    fn process(&self, name: &str) -> PathBuf {
        self.names.write(&self.temp.path().join(format!("{name}.toml")));
        self.temp.path().join(name)
    }

    fn credentials(&self) -> PathBuf {
        self.temp.path().join("credentials.json")
    }

    /// Runs an operator's command.
    fn operate(&self, args: &[&str]) -> Ended {
        let dir = self.temp.path().join("operator");
        tillstream(&[args, &["--data-dir", text(&dir)]].concat())
    }

    fn done(&self, args: &[&str]) -> Ended {
        let ended = self.operate(args);
        assert_eq!(ended.code, 0, "{args:?}\n{}{}", ended.out, ended.err);
        ended
    }

    fn serve(&self, name: &str) -> Start {
        let books = format!("simulator:{}", text(&self.temp.path().join("books")));
        Start::serve(&self.process(name)).set("payments.url", &books).set("carrier.url", &books)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Where the parts of a shop are.
struct Sites {
    commands: Client,
    queries: Client,
    sagas: Client,
}

/// A small journey: from sign-up to a paid order that search and books agree with. Answers the order's id.
async fn journey(sites: &Sites, credentials: &Path, name: &str) -> String {
    let admin = sites.commands.login_as(credentials, "admin").await.unwrap();
    let warehouse = sites.commands.login_as(credentials, "warehouse").await.unwrap();
    let email = format!("{name}@customers.example");
    let body = json!({ "email": email, "password": "correct horse battery", "name": name });
    ok(sites.commands.post("/api/v1/users", &body).send().await).expect(201);
    let login = json!({ "email": email, "password": "correct horse battery" });
    let login = ok(sites.commands.post("/api/v1/auth/login", &login).send().await).expect(200);
    let token = login.text_at("/access_token");
    let (customer, reader) = (sites.commands.with_token(token), sites.queries.with_token(token));

    let product = json!({
        "sku": format!("SKU-{name}"), "name": format!("Grinder {name}"), "description": "As good as new.",
        "category": "things", "price": { "amount": 1_000, "currency": "EUR" },
    });
    let made = ok(admin.post("/api/v1/products", &product).send().await).expect(201);
    let stock = format!("/api/v1/products/{}/inventory", made.id());
    ok(warehouse.put(&stock, &json!({ "on_hand": 5 })).send().await).expect(200);
    // Bounded: 503 `stale` asks to be repeated, as while a rebuilt index is put in place.
    let search = format!("/api/v1/products/search?q={name}");
    let found = eventually("the search to see the product", SETTLES_WITHIN, || async {
        let call = sites.queries.call(reqwest::Method::GET, &search).seen(made.header("sync-token"));
        let found = ok(call.send().await);
        (found.problem() != "stale").then(|| found.expect(200))
    })
    .await;
    assert_eq!(found.text_at("/items/0/id"), made.id(), "{}", found.text);

    let placed = customer.post("/api/v1/orders", &order_of(&made.id(), 1, "tok_visa")).key(name);
    let placed = ok(placed.send().await).expect(201);
    let path = format!("/api/v1/orders/{}", placed.id());
    let seen = reader.call(reqwest::Method::GET, &path).seen(placed.header("sync-token"));
    ok(seen.send().await).expect(200);
    eventually("the order to be paid", SETTLES_WITHIN, || async {
        (ok(reader.get(&path).await).text_at("/status") == "paid").then_some(())
    })
    .await;
    let profile = ok(reader.get("/api/v1/users/me").await).expect(200);
    assert_eq!(profile.text_at("/email"), email);
    let charges = pages(&sites.sagas, "/simulator/charges?limit=100").await;
    assert_eq!(charges.iter().filter(|charge| charge["order_id"] == placed.id().as_str()).count(), 1);
    placed.id()
}

async fn ready(server: &Server) {
    eventually("the process to be ready", SETTLES_WITHIN, || async {
        (ok(server.client().get("/health/ready").await).status == 200).then_some(())
    })
    .await;
}

/// Removes a row of the projection `events`, as nobody should; answers its position.
async fn lose_an_event(schema: &str) -> String {
    use sqlx::Connection as _;
    let mut db = sqlx::PgConnection::connect(&engines().postgres).await.unwrap();
    let select =
        format!("SELECT shard, n FROM {schema}.events WHERE event_type = 'order.paid' ORDER BY n LIMIT 1");
    let (shard, n): (i64, i64) = sqlx::query_as(&select).fetch_one(&mut db).await.unwrap();
    let delete = format!("DELETE FROM {schema}_events_1.events WHERE shard = {shard} AND n = {n}");
    let deleted = sqlx::query(&delete).execute(&mut db).await.unwrap();
    assert_eq!(deleted.rows_affected(), 1);
    format!("{shard}:{n}")
}

// proves: OPS-2, OPS-3, AUD-3, AUD-5, SEC-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_runs_every_role_and_operators_look_into_it() {
    let place = Installation::new();
    let simulated = ["--set", "payments.url=simulator:", "--set", "carrier.url=simulator:"];
    let early = place.operate(&[&["serve", "--listen", "127.0.0.1:0"][..], &simulated].concat());
    assert!(early.code != 0 && early.err.contains("tillstream migrate"), "{}", early.err);
    let first = place.done(&["migrate"]).out;
    assert_eq!(place.done(&["migrate"]).out, first, "a second time changes nothing");
    place.done(&["bootstrap", "--credentials", text(&place.credentials())]);

    let mut server = place.serve("all").start().unwrap();
    ready(&server).await;
    let sites = Sites { commands: server.client(), queries: server.client(), sagas: server.client() };
    let order = journey(&sites, &place.credentials(), "robin").await;

    let health = ok(server.client().get("/health").await).expect(200).body;
    assert_eq!(health["owners"].as_array().unwrap().len(), 16, "{health}");
    assert!(health["promises"]["server"].as_str().unwrap().contains("cassandra"), "{health}");
    let metrics = ok(server.client().get("/metrics").await).expect(200).text;
    assert!(metrics.contains("tillstream_projection_lag_events{projection=\"orders\"}"), "{metrics}");

    // Beside the running server.
    assert!(place.done(&["verify"]).out.contains("ok"));
    let history = place.done(&["history", "order", &order]).out;
    assert!(history.contains("order.placed") && history.contains("order.paid"), "{history}");
    place.done(&["redrive", "orders"]);
    let rebuilt = place.done(&["rebuild", "orders", "search"]).out;
    assert_eq!(rebuilt.matches("equal").count(), 2, "{rebuilt}");
    place.done(&["rebuild", "--rollback", "orders", "search"]);
    let conserved = place.done(&["conservation"]).out;
    assert!(conserved.contains("ok"), "{conserved}");
    let again = place.operate(&["bootstrap", "--credentials", text(&place.temp.path().join("other.json"))]);
    assert!(again.code != 0 && again.err.contains("administrator exists"), "{}", again.err);

    journey(&sites, &place.credentials(), "kim").await;
    assert!(server.terminate().unwrap().success());
    assert!(place.done(&["conservation"]).out.contains("ok"));

    repeat_first_records(place.names.name());
    assert!(
        place.done(&["conservation"]).out.contains("ok"),
        "old records that come late hide no newer ones"
    );

    let lost = lose_an_event(place.names.name()).await;
    let ended = place.operate(&["conservation"]);
    assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
    assert!(ended.out.contains(&format!("first difference {lost}")), "{lost} in\n{}", ended.out);
    assert!(ended.out.contains("postgresql"), "{}", ended.out);
    place.names.remove().await.unwrap();
}

/// Puts the first record of every partition behind the last one, as an owner that was deposed with records on their way may do.
fn repeat_first_records(topic: &str) {
    const WAIT: Duration = SETTLES_WITHIN;
    let client = |group: &str| {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &engines().kafka).set("group.id", group);
        config
    };
    let consumer: BaseConsumer = client(&format!("{topic}.raw")).create().unwrap();
    let producer: BaseProducer = client("none").create().unwrap();
    let mut repeated = 0;
    for partition in 0..16 {
        let (first, next) = consumer.fetch_watermarks(topic, partition, WAIT).unwrap();
        if first == next {
            continue;
        }
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        consumer.assign(&place).unwrap();
        let until = Instant::now() + WAIT;
        let record = loop {
            // Nothing may come of a poll that something else ended.
            match consumer.poll(WAIT) {
                Some(record) => break record.unwrap(),
                None => assert!(Instant::now() < until, "partition {partition} gives no record"),
            }
        };
        let again = BaseRecord::to(topic)
            .partition(partition)
            .key(record.key().unwrap())
            .payload(record.payload().unwrap())
            .headers(record.headers().unwrap().detach());
        producer.send(again).map_err(|(error, _)| error).unwrap();
        repeated += u32::from(next > first + 1);
    }
    producer.flush(WAIT).unwrap();
    assert!(repeated > 0, "no partition has more than one record");
}

// proves: OPS-2, ORD-3, QRY-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_with_a_role_each_are_the_same_shop() {
    let place = Installation::new();
    place.done(&["migrate"]);
    let start = |role: &'static str| place.serve(role).role(role).start().unwrap();
    let mut commands = start("command-api");
    ready(&commands).await;
    // Asks the owners of the running server.
    place.done(&["bootstrap", "--credentials", text(&place.credentials())]);
    let mut others = [start("projections"), start("query-api"), start("sagas")];
    for server in &others {
        ready(server).await;
    }
    let (queries, sagas) = (others[1].client(), others[2].client());
    let sites = Sites { commands: commands.client(), queries, sagas };
    journey(&sites, &place.credentials(), "robin").await;

    let elsewhere = ok(sites.commands.get("/api/v1/products").await).expect(404);
    assert_eq!(elsewhere.problem(), "other-role");
    assert!(elsewhere.text.contains("query-api"), "{}", elsewhere.text);
    let body = json!({ "email": "x@customers.example", "password": "correct horse", "name": "x" });
    let elsewhere = ok(sites.queries.post("/api/v1/users", &body).send().await).expect(404);
    assert!(elsewhere.text.contains("command-api"), "{}", elsewhere.text);
    assert_eq!(ok(sites.queries.get("/api/v1/nothing").await).expect(404).problem(), "unknown-route");

    // A second owner takes its share over while the shop goes on.
    let second = place.serve("second").role("command-api").start().unwrap();
    eventually("the shards to be shared", SETTLES_WITHIN, || async {
        let health = ok(second.client().get("/health").await).expect(200).body;
        (health["owners"].as_array().unwrap().len() == 8).then_some(())
    })
    .await;
    let at_second = Sites { commands: second.client(), ..sites };
    journey(&at_second, &place.credentials(), "kim").await;
    assert!(commands.terminate().unwrap().success());
    journey(&at_second, &place.credentials(), "alex").await;
    for server in &mut others {
        assert!(server.terminate().unwrap().success());
    }
    drop(second);
    place.names.remove().await.unwrap();
}

// proves: OPS-2, PAY-3
#[test]
fn a_split_is_refused_where_its_parts_could_not_meet() {
    let place = Installation::new();
    let refused = place.operate(&["serve", "--role", "sagas"]);
    assert!(refused.code != 0 && refused.err.contains("simulator:<directory>"), "{}", refused.err);
    let mixed = place.operate(&["serve", "--set", "read.url=sqlite:"]);
    assert!(mixed.code != 0 && mixed.err.contains("don't work together"), "{}", mixed.err);
    let open = place.operate(&["serve", "--listen", "0.0.0.0:0"]);
    assert!(open.code != 0 && open.err.contains("http.advertise"), "{}", open.err);
}
