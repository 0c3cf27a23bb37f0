//! The embedded write path, measured: `cargo bench -p tests --bench embedded`, and beside its peers in the same run:
//! `cargo bench -p tests --features peers --bench embedded`.
//!
//! Durable commands through the library at 1, 64 and 256 callers on many streams, 64 callers on one hot aggregate, and beside
//! them, in the same run, the same rows written with one SQLite transaction per command. Then all of it again with an fsync that
//! takes 2 ms longer (by a preloaded library, compiled with `cc`). Then a rebuild of the read models from the log.
//!
//! The peers are tephra, a store of events in this process, and UmaDB, a server on loopback that is installed below the target
//! directory with `pip` (which needs Python 3.10 or newer with `venv`). Both write the event that the library's command writes, the same
//! bytes, and sync the disk before they reply; see `peers`.
//!
//! `SECONDS=n` sets how long each line is measured (default 3), `SHARDS=n` how many shards the store has (default 16), `FAST_ONLY=1` leaves out the slowed disk.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark run by hand prints its table")]

#[cfg(feature = "peers")]
mod peers;
mod replay;
#[cfg(feature = "peers")]
mod tephra;
#[cfg(feature = "peers")]
mod umadb;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

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
    Line, callers as measure, fdatasync_time, fill_hot, measured, place_order, print_head, print_line,
    reserve_hot, shards, summary,
};
use uuid::Uuid;

/// The same allocator as the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Nobody;

impl FanOut for Nobody {
    fn publish(&self, _frame: Arc<DecidedFrame>) {}
}

/// The library over a store in a directory.
async fn owners(dir: &Path) -> Arc<Owners> {
    let log = Arc::new(SqliteLog::open(dir, shards()).unwrap());
    let registry = Arc::new(sagas::registry());
    let config = OwnerConfig::default();
    Arc::new(Owners::start(log, registry, Arc::new(Nobody), Arc::new(SystemClock), config).await.unwrap())
}

async fn library(dir: &Path, callers: usize, command: fn() -> CommandRequest) -> Line {
    let owners = owners(dir).await;
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

fn directory() -> tempfile::TempDir {
    // Beside the build output, so that it is a disk and not a memory file system.
    let target = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    tempfile::tempdir_in(target).unwrap()
}

fn write_path() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    #[cfg(feature = "peers")]
    let mut peers = runtime.block_on(peers::Peers::prepare());
    let dir = directory();
    print_sync(dir.path());
    println!();
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
        #[cfg(feature = "peers")]
        runtime.block_on(peers.spread(&line, callers));
    }
    let line = runtime.block_on(library(directory().path(), 64, reserve_hot));
    print_line("library, one hot stock", 64, &line);
    #[cfg(feature = "peers")]
    {
        runtime.block_on(peers.hot(&line, 64));
        peers.print_ratios();
    }
    print_sync(dir.path());
    #[cfg(not(feature = "peers"))]
    println!("\ntephra and UmaDB are left out: with `--features peers` they are measured in the same run");
}

fn print_sync(dir: &Path) {
    println!(
        "\n16 KiB appended and made durable with fdatasync in {:.2} ms here (p50)",
        fdatasync_time(dir).as_secs_f64() * 1e3
    );
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
    replay::replay();
    if std::env::var_os("FAST_ONLY").is_none() {
        slowed();
    }
}
