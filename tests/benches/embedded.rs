//! The embedded write path, measured: `cargo bench -p tests --bench embedded`.
//!
//! Durable commands through the library at 1, 64 and 256 callers on many streams, 64 callers on one hot aggregate, and beside
//! them, in the same run, the same rows written with one SQLite transaction per command. Then all of it again with an fsync that
//! takes 2 ms longer (by a preloaded library, compiled with `cc`). Then a rebuild of the read models from the log.
//!
//! `SECONDS=n` sets how long each line is measured (default 3), `SHARDS=n` how many shards the store has (default 16), `FAST_ONLY=1` leaves out the slowed disk.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark run by hand prints its table")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use command_api::owner::{OwnerConfig, Owners};
use domain::command::CommandRequest;
use domain::frame::DecidedFrame;
use domain::ports::clock::SystemClock;
use domain::ports::feed::FanOut;
use domain::ports::gateway::CommandGateway;
use domain::ports::log::{EventLog, LogReader};
use domain::position::Shard;
use infra::sqlite::log::SqliteLog;
use tests::bench::{
    Line, callers as measure, fill_hot, measured, place_order, print_head, print_line, reserve_hot, shards,
    summary,
};
use uuid::Uuid;

/// The same allocator as the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Nobody;

impl FanOut for Nobody {
    fn publish(&self, _frame: Arc<DecidedFrame>) {}
}

async fn library(dir: &Path, callers: usize, command: fn() -> CommandRequest) -> Line {
    let log = Arc::new(SqliteLog::open(dir, shards()).unwrap());
    let registry = Arc::new(domain::shop::registry());
    let config = OwnerConfig::default();
    let owners = Arc::new(
        Owners::start(log, registry, Arc::new(Nobody), Arc::new(SystemClock), config).await.unwrap(),
    );
    owners.submit(fill_hot()).await.unwrap();
    let calling = Arc::clone(&owners);
    let line = measure(callers, move |_| {
        let owners = Arc::clone(&calling);
        async move {
            owners.submit(command()).await.unwrap();
        }
    });
    let line = line.await;
    owners.stop().await;
    line
}

/// The rows that the library wrote, again: frame by frame of one command each, with its pointer and command result, one
/// transaction and one fsync each.
fn one_transaction_per_command(dir: &Path) -> Line {
    let log = SqliteLog::open(dir, 1).unwrap();
    drop(log);
    let connection = rusqlite::Connection::open(dir.join("baseline.db")).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 10000;
             CREATE TABLE log (slot INTEGER PRIMARY KEY, first_position INTEGER NOT NULL, bytes BLOB NOT NULL);
             CREATE TABLE pointers (stream BLOB NOT NULL, version INTEGER NOT NULL, shard INTEGER NOT NULL,
                 frame INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (stream, version)) WITHOUT ROWID;
             CREATE TABLE results (id BLOB PRIMARY KEY, frame INTEGER NOT NULL, place INTEGER NOT NULL) WITHOUT ROWID;",
        )
        .unwrap();
    // A frame of one order: event, command record with its answer, header and leaves.
    let bytes = vec![b'x'; 1_900];
    let mut latencies = Vec::new();
    let start = Instant::now();
    let mut n = 0_i64;
    while start.elapsed() < measured() {
        n += 1;
        let sent = Instant::now();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        connection
            .prepare_cached("INSERT INTO log VALUES (?1, ?1, ?2)")
            .unwrap()
            .execute(rusqlite::params![n, bytes])
            .unwrap();
        let id = Uuid::now_v7();
        let stream = format!("default\0order\0{id}").into_bytes();
        connection
            .prepare_cached("INSERT INTO pointers VALUES (?1, 1, 0, ?2, 0)")
            .unwrap()
            .execute(rusqlite::params![stream, n])
            .unwrap();
        connection
            .prepare_cached("INSERT INTO results VALUES (?1, ?2, 0)")
            .unwrap()
            .execute(rusqlite::params![id.as_bytes(), n])
            .unwrap();
        connection.execute_batch("COMMIT").unwrap();
        latencies.push(sent.elapsed());
    }
    summary(latencies, start.elapsed())
}

/// The port alone: frames of one event, one after another in one shard.
async fn port(dir: &Path) -> Line {
    let log = SqliteLog::open(dir, 1).unwrap();
    let mut tail = domain::frame::Tail::empty(Shard(0));
    let mut latencies = Vec::new();
    let start = Instant::now();
    while start.elapsed() < measured() {
        let events = [vec![b'x'; 1_600]];
        let frame = domain::frame::encode_frame(log.store().id, &tail, 1, Uuid::now_v7(), &events, &[]);
        tail = domain::frame::Tail::after(&frame.header, frame.hash);
        let sent = Instant::now();
        log.propose(Arc::new(frame)).await.unwrap();
        latencies.push(sent.elapsed());
    }
    summary(latencies, start.elapsed())
}

fn fsync_time(dir: &Path) -> Duration {
    let file = std::fs::File::create(dir.join("probe")).unwrap();
    let mut times: Vec<Duration> = (0..50)
        .map(|_| {
            use std::io::Write;
            (&file).write_all(&[0; 4096]).unwrap();
            let start = Instant::now();
            file.sync_data().unwrap();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[25]
}

fn directory() -> tempfile::TempDir {
    // Beside the build output, so that it is a disk and not a memory file system.
    let target = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    tempfile::tempdir_in(target).unwrap()
}

fn write_path() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = directory();
    println!("\nfsync takes {:.2} ms here (p50)\n", fsync_time(dir.path()).as_secs_f64() * 1e3);
    print_head("durable commands");
    let baseline = one_transaction_per_command(directory().path());
    print_line("one SQLite transaction per command", 1, &baseline);
    let line =
        runtime.block_on(async { tokio::spawn(async { port(directory().path()).await }).await.unwrap() });
    print_line("the log port alone, one frame at a time", 1, &line);
    for callers in [1, 64, 256] {
        let line = runtime.block_on(library(directory().path(), callers, place_order));
        print_line("library, orders on many streams", callers, &line);
        if callers == 64 {
            println!(
                "| {:<44} | {:>6.1}× the transaction per command",
                "",
                line.per_second / baseline.per_second
            );
        }
    }
    let line = runtime.block_on(library(directory().path(), 64, reserve_hot));
    print_line("library, one hot stock", 64, &line);
}

async fn fill(dir: &Path, orders: u64) {
    let log = Arc::new(SqliteLog::open(dir, shards()).unwrap());
    let registry = Arc::new(domain::shop::registry());
    let owners =
        Owners::start(log, registry, Arc::new(Nobody), Arc::new(SystemClock), OwnerConfig::default());
    let owners = Arc::new(owners.await.unwrap());
    let left = Arc::new(AtomicU64::new(orders));
    let tasks: Vec<_> = (0..512)
        .map(|_| {
            let (owners, left) = (Arc::clone(&owners), Arc::clone(&left));
            tokio::spawn(async move {
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                    owners.submit(place_order()).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    owners.stop().await;
}

async fn read_all(log: &dyn LogReader) -> u64 {
    let mut events = 0;
    for n in 0..log.store().shards {
        let mut from = 1;
        loop {
            let rows = log.read_frames(Shard(n), from, 512, 4 << 20).await.unwrap();
            if rows.is_empty() {
                break;
            }
            from += rows.len() as u64;
            events +=
                rows.iter().map(|row| DecidedFrame::decode(row).unwrap().events.len() as u64).sum::<u64>();
        }
    }
    events
}

fn replay() {
    const ORDERS: u64 = 100_000;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = directory();
    runtime.block_on(fill(dir.path(), ORDERS));
    let log: Arc<dyn EventLog> = Arc::new(SqliteLog::open_existing(dir.path()).unwrap());
    let start = Instant::now();
    let events = runtime.block_on(read_all(&*log));
    println!(
        "\nread from the log and decoded: {:.0} events/s",
        events as f64 / start.elapsed().as_secs_f64()
    );
    let rebuild = || async {
        let start = Instant::now();
        infra::rebuild::rebuild(dir.path(), &[], &*log, &mut |_| {}).await.unwrap();
        start.elapsed()
    };
    // The first time, the live rows are brought to the log's end as well.
    runtime.block_on(rebuild());
    let took = runtime.block_on(rebuild());
    println!("all read models rebuilt and compared: {:.0} events/s", events as f64 / took.as_secs_f64());
}

/// Runs this benchmark again with a slower fsync.
fn slowed() {
    let dir = directory();
    let library = dir.path().join("slow_fsync.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/slow_fsync.c");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-o"])
        .args([library.as_os_str(), source.as_os_str()])
        .args(["-ldl"])
        .status();
    if !compiled.is_ok_and(|status| status.success()) {
        println!("\nno C compiler: the slowed disk is left out");
        return;
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .env("LD_PRELOAD", &library)
        .env("SLOW_FSYNC_US", "1800")
        .env("TILLSTREAM_BENCH_SLOWED", "1")
        .status()
        .unwrap();
    assert!(status.success());
}

fn main() {
    write_path();
    if std::env::var_os("TILLSTREAM_BENCH_SLOWED").is_some() {
        return;
    }
    replay();
    if std::env::var_os("FAST_ONLY").is_none() {
        slowed();
    }
}
