//! What readers see: how soon a decided command is visible in PostgreSQL from another process, and how fast read models are
//! built from the log.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::catalogue::product::{ProductCommand, ProductDetails};
use domain::command::{CommandId, CommandRequest, Step};
use domain::money::{Currency, Money};
use domain::ports::gateway::CommandGateway;
use domain::ports::log::LogReader;
use domain::position::{Position, Shard};
use domain::stream::{DEFAULT_TENANT, StreamId};
use infra::postgres::Database;
use reqwest::Method;
use sqlx::{Connection as _, PgConnection};
use tests::bench::{Line, measured, place_order, shards, summary};
use tests::engines::engines;
use tests::server::{Server, Start, tillstream};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::library::{Store, read_all};

/// Commands per second while visibility is measured.
const RATE: u32 = 1_000;

/// Orders of the first moments don't count: the projections' process joins its group of consumers meanwhile.
const JOINING: Duration = Duration::from_secs(3);

/// Orders per second beside the searches.
const BESIDE: u32 = 200;
/// Products that are searched for as soon as they are acknowledged.
const SEARCHES: usize = 200;

/// A role of a store in a process of its own.
fn role(store: &Store, role: &'static str, data: &Path) -> Server {
    let mut start = Start::serve(data).role(role).set("logging.level", "warn");
    for (key, value) in store.names.settings() {
        start = start.set(key, &value);
    }
    start.start().unwrap()
}

/// Makes what a store lacks: before there are events, since a log with events and without keys is refused.
fn migrate(store: &Store, data: &Path) {
    let mut migrate = vec!["migrate".to_owned(), "--data-dir".to_owned(), data.display().to_string()];
    for (key, value) in store.names.settings() {
        migrate.extend(["--set".to_owned(), format!("{key}={value}")]);
    }
    let migrate: Vec<&str> = migrate.iter().map(String::as_str).collect();
    let migrated = tillstream(&migrate);
    assert_eq!(migrated.code, 0, "{}", migrated.err);
}

/// The projections of a store in a process of their own.
fn projections(store: &Store, data: &Path) -> Server {
    migrate(store, data);
    role(store, "projections", data)
}

async fn database(store: &Store) -> Database {
    let url = format!("{}?schema={}", engines().postgres, store.names.name());
    Database::connect(&url.parse().unwrap()).await.unwrap()
}

/// At least so many events are read back and projected.
const EVENTS: u64 = 50_000;

/// Reading the log and building read models from it, on a store of its own.
pub(crate) async fn all() {
    let store = Store::make().await;
    migrate(&store, tempfile::tempdir().unwrap().path());
    while events(&store).await < EVENTS {
        store.run(256, place_order).await;
    }
    store.rest().await;
    let (read, took) = read_all(&store.log).await;
    println!("\nread from the log and decoded: {:.0} of {read} events/s", read as f64 / took.as_secs_f64());
    rebuild(&store).await.iter().for_each(|line| println!("{line}"));
    store.drop().await;
}

/// How many events the log has.
async fn events(store: &Store) -> u64 {
    let mut events = 0;
    for shard in (0..shards()).map(Shard) {
        events += store.log.head(shard).await.unwrap().n;
    }
    events
}

/// The read models in PostgreSQL: filled for the first time by a runner that follows the log (Elasticsearch is filled beside), then
/// all of them rebuilt beside the live ones, compared and swapped. What to print.
async fn rebuild(store: &Store) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let events = events(store).await;
    let server = projections(store, &dir.path().join("data"));
    let start = Instant::now();
    let question = format!(
        "SELECT count(*) FROM (SELECT projection FROM {}.progress GROUP BY projection HAVING sum(position) < {events}) behind",
        store.names.name()
    );
    let mut db = PgConnection::connect(&engines().postgres).await.unwrap();
    loop {
        let behind: i64 = sqlx::query_scalar(&question).fetch_one(&mut db).await.unwrap();
        if behind == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let filled = start.elapsed();
    drop(server);
    let database = database(store).await;
    let log = Arc::new(store.log.clone());
    let start = Instant::now();
    let reports =
        infra::postgres::rebuild::rebuild(&database, infra::shop::projections().rows, &[], log, &mut |_| {})
            .await
            .unwrap();
    let rebuilt = start.elapsed();
    assert!(reports.iter().all(|report| report.equal()), "{reports:?}");
    let rate = |took: Duration| events as f64 / took.as_secs_f64();
    vec![
        format!("PostgreSQL filled by a runner, Elasticsearch beside it: {:.0} events/s", rate(filled)),
        format!(
            "PostgreSQL rebuilt, all {} projections, compared: {:.0} events/s",
            reports.len(),
            rate(rebuilt)
        ),
    ]
}

/// The projections in a process of their own, and a reader in this one.
pub(crate) async fn visible() {
    let store = Store::make().await;
    let dir = tempfile::tempdir().unwrap();
    let server = projections(&store, &dir.path().join("data"));
    let (acked, acks) = mpsc::unbounded_channel();
    let reader = tokio::spawn(watch(store.names.name().to_owned(), acks));
    let began = Instant::now();
    let tell = move |position| {
        if began.elapsed() > JOINING {
            acked.send((position, Instant::now())).unwrap();
        }
    };
    tokio::time::timeout(JOINING + 3 * measured(), place(&store, RATE, tell)).await.unwrap_err();
    let waits = reader.await.unwrap();
    let what = format!("visible in PostgreSQL from another process, {RATE} commands/s");
    print_waits(&what, waits);
    drop(server);
    store.drop().await;
}

/// How long it took from the acknowledgement.
fn print_waits(what: &str, waits: Vec<Duration>) {
    // How many there are in which time is not the question.
    let Line { p50, p99, .. } = summary(waits, measured());
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    println!("\nacknowledged to {what}: p50 {:.1} ms, p99 {:.1} ms", ms(p50), ms(p99));
}

/// Places so many orders a second until dropped, whether they are acknowledged yet or not, and tells of each that is.
async fn place(
    store: &Store,
    rate: u32,
    acked: impl Fn(Position) + Clone + Send + Sync + 'static,
) -> Infallible {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / rate);
    loop {
        pace.tick().await;
        let (owners, acked) = (Arc::clone(&store.owners), acked.clone());
        tokio::spawn(async move { acked(owners.submit(place_order()).await.unwrap().position) });
    }
}

/// Products searched for with the Sync-Token of their acknowledgement; projections and queries in processes of their own.
pub(crate) async fn searched() {
    let store = Store::make().await;
    let dir = tempfile::tempdir().unwrap();
    let servers = [
        projections(&store, &dir.path().join("projections")),
        role(&store, "query-api", &dir.path().join("query-api")),
    ];
    let client = servers[1].client();
    let mut waits = Vec::with_capacity(SEARCHES);
    let searches = async {
        for n in 0..SEARCHES {
            let accepted = store.owners.submit(create_product(n)).await.unwrap();
            let sent = Instant::now();
            let search = client.call(Method::GET, &format!("/api/v1/products/search?q=probe{n}"));
            let found = search.seen(&accepted.token().to_string()).send().await.unwrap().expect(200);
            assert_eq!(found.number_at("/total"), 1, "{}", found.text);
            waits.push(sent.elapsed());
        }
    };
    tokio::select! {
        () = searches => {}
        never = place(&store, BESIDE, |_| {}) => match never {},
    }
    print_waits(&format!("found in Elasticsearch with its Sync-Token, {BESIDE} commands/s beside"), waits);
    drop(servers);
    store.drop().await;
}

fn create_product(n: usize) -> CommandRequest {
    let stream = StreamId::new(DEFAULT_TENANT, "product", Uuid::now_v7());
    let details = ProductDetails {
        sku: format!("PROBE-{n}"),
        name: format!("probe{n}"),
        description: String::new(),
        category: "probes".into(),
        attributes: BTreeMap::new(),
    };
    let create = ProductCommand::Create { details, price: Money::new(1_999, Currency::Usd) };
    CommandRequest::new(CommandId::fresh(), "user:0193", vec![Step::create(stream, create)])
}

/// Looks at the checkpoints of the orders again and again, until all that was acknowledged is covered.
async fn watch(schema: String, mut acks: mpsc::UnboundedReceiver<(Position, Instant)>) -> Vec<Duration> {
    let mut db = PgConnection::connect(&engines().postgres).await.unwrap();
    let question =
        format!("SELECT shard::int4, position::int8 FROM {schema}.progress WHERE projection = 'orders'");
    let mut open: VecDeque<(Position, Instant)> = VecDeque::new();
    let (mut waits, mut more) = (Vec::new(), true);
    while more || !open.is_empty() {
        let rows: Vec<(i32, i64)> = sqlx::query_as(&question).fetch_all(&mut db).await.unwrap();
        let now = Instant::now();
        // What was acknowledged after the look began says nothing yet.
        open.retain(|(position, acked)| {
            let seen = rows.iter().any(|(shard, n)| {
                i32::from(position.shard.0) == *shard && u64::try_from(*n).unwrap() >= position.n
            });
            if seen {
                waits.push(now.saturating_duration_since(*acked));
            }
            !seen
        });
        loop {
            match acks.try_recv() {
                Ok(ack) => open.push_back(ack),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    more = false;
                    break;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    waits
}
