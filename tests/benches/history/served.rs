//! The program on a store: how long its read models take to catch up, how soon it is ready, and how quickly it is read.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::bench::{Line, callers};
use tests::client::Client;
use tests::server::{Server, Start};
use tests::shop::SETTLES_WITHIN;
use uuid::Uuid;

use crate::fill::Filled;
use crate::process::{Processes, Usage};

/// How often the start is measured; the middle one counts.
const STARTS: usize = 3;
/// Products and orders that are read, about: from the first to the last, and more than are kept in memory.
const READ: usize = 20_000;
/// How often is looked whether something has come about.
const LOOK: Duration = Duration::from_millis(5);
/// How often is looked how far the read models are: a look costs the server some work.
const LOOK_AT_LAG: Duration = Duration::from_millis(200);
/// A server that uses less processor time than this within [`QUIET`] has come to rest.
const IDLE: Duration = Duration::from_millis(50);
const QUIET: Duration = Duration::from_secs(1);

/// What was measured.
pub(crate) struct Served {
    /// From the start of the program to readiness, with read models that are up to date.
    pub(crate) ready: Duration,
    pub(crate) lines: Vec<(&'static str, Line)>,
    /// Once it had come to rest after the start.
    pub(crate) started: Usage,
    /// After the reads.
    pub(crate) ended: Usage,
    /// Bytes of the data directory.
    pub(crate) on_disk: u64,
}

pub(crate) async fn measure(dir: &Path, credentials: &Path, filled: &Filled) -> Served {
    let start = Start::serve(dir).set("logging.level", "warn");
    catch_up(&start).await;
    let mut times = Vec::new();
    let server = loop {
        let began = Instant::now();
        let mut server = start.start().unwrap();
        until_ready(&server).await;
        times.push(began.elapsed());
        if times.len() == STARTS {
            break server;
        }
        server.terminate().unwrap();
    };
    times.sort_unstable();
    let started = until_quiet(&server).await;
    let lines = read(&server.login(credentials, "admin").await.unwrap(), filled).await;
    Served { ready: times[STARTS / 2], lines, started, ended: usage(&server), on_disk: size(dir) }
}

/// Serves until the read models have applied everything.
async fn catch_up(start: &Start) {
    let began = Instant::now();
    let mut server = start.start().unwrap();
    let client = server.client();
    let (mut least, mut progress) = (i64::MAX, Instant::now());
    let report = loop {
        let report = client.get("/health").await.unwrap().expect(200).body;
        let lag = lag(&report);
        if lag == 0 {
            break report;
        }
        if lag < least {
            (least, progress) = (lag, Instant::now());
        }
        assert!(progress.elapsed() < SETTLES_WITHIN, "the read models stand still: {report}");
        tokio::time::sleep(LOOK_AT_LAG).await;
    };
    let took = began.elapsed();
    let parked = projections(&report).any(|projection| projection["parked_events"] != 0);
    assert!(!parked, "the read models accept every event: {report}");
    // `shard:n`
    let heads = report["log"]["heads"].as_array().unwrap().iter();
    let head = |head: &Value| head.as_str().unwrap().split_once(':').unwrap().1.parse::<f64>().unwrap();
    let events: f64 = heads.map(head).sum();
    let rested = until_quiet(&server).await;
    println!(
        "the read models took {:.1} s to catch up with {events} events, {:.0} a second; {} MiB at the highest",
        took.as_secs_f64(),
        events / took.as_secs_f64(),
        rested.highest >> 20
    );
    server.terminate().unwrap();
}

fn projections(report: &Value) -> impl Iterator<Item = &Value> {
    report["projections"].as_array().unwrap().iter()
}

/// How many events the projections are behind, all together.
fn lag(report: &Value) -> i64 {
    projections(report).map(|projection| projection["lag_events"].as_i64().unwrap()).sum()
}

async fn until_ready(server: &Server) {
    let (client, began) = (server.client(), Instant::now());
    while client.get("/health/ready").await.unwrap().status != 200 {
        assert!(began.elapsed() < SETTLES_WITHIN, "the server doesn't become ready");
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until the server has come to rest, and returns what it used by then.
async fn until_quiet(server: &Server) -> Usage {
    let began = Instant::now();
    loop {
        let processes = Processes::of_shop(server.pid());
        tokio::time::sleep(QUIET).await;
        let used = processes.used()[0].1;
        if used.cpu < IDLE || began.elapsed() > SETTLES_WITHIN {
            return used;
        }
    }
}

fn usage(server: &Server) -> Usage {
    Processes::of_shop(server.pid()).used()[0].1
}

/// Reads by one caller, of anything that was there before.
async fn read(client: &Client, filled: &Filled) -> Vec<(&'static str, Line)> {
    let paths = |kind: &str, ids: &[Uuid]| -> Arc<[String]> {
        ids.iter().step_by(ids.len() / READ + 1).map(|id| format!("/api/v1/{kind}/{id}")).collect()
    };
    let kinds = [
        ("GET a product", paths("products", &filled.products)),
        ("GET a list of products", ["/api/v1/products".to_owned()].into()),
        ("GET an order", paths("orders", &filled.orders)),
        ("GET a list of orders", ["/api/v1/orders".to_owned()].into()),
    ];
    let mut lines = Vec::new();
    for (what, paths) in kinds {
        let client = client.clone();
        let line = callers(1, move |_| {
            let (client, paths) = (client.clone(), Arc::clone(&paths));
            async move {
                let path = &paths[rand::random_range(0..paths.len())];
                client.get(path).await.unwrap().expect(200);
            }
        });
        lines.push((what, line.await));
    }
    lines
}

/// Bytes of all files below a directory.
fn size(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let one = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.map(one).sum()
}
