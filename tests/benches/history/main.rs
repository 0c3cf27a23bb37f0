//! Cost by size of history: `cargo bench -p tests --bench history`, on the embedded backends, or with `--features engines` and
//! `TILLSTREAM_TESTS_BACKENDS=engines` on those that the environment names.
//!
//! Two stores are made through the library: one of at least `EVENTS` events (default 10,000,000), spread over very many streams as a shop's
//! are, and one that is empty but for the accounts and 100 products, each ordered once (see `fill`). The program serves each until its read
//! models have caught up; then the seconds from its start to readiness are measured, GETs over HTTP by one caller, and its memory. At last
//! durable commands go through the library at 64 callers, now on the one store and now on the other: how many a second, and what one costs in
//! processor time.
//!
//! `SECONDS=n` sets how long each line is measured (default 3; five times on each store through the library). The stores are made in `TMPDIR`,
//! which has to have room: a data directory takes 1.4 KiB an event.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark run by hand prints its table")]

mod fill;
mod library;
#[path = "../orders/process.rs"]
mod process;
mod served;
mod story;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tests::bench::{callers_for, measured, place_order};
use tests::server::{Place, shop};

use crate::fill::Filled;
use crate::library::Library;
use crate::process::Processes;
use crate::served::Served;

/// The same allocator as the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Callers of the library at once.
const CALLERS: usize = 64;
/// How often each store has its turn.
const TURNS: usize = 5;
/// Products of the store that is empty otherwise, and orders.
const FEW: usize = 100;

/// A store: where it is, and what is in it.
struct Store {
    place: Place,
    dir: PathBuf,
    credentials: PathBuf,
    filled: Filled,
}

/// How the library did on a store, over all turns.
#[derive(Default)]
struct Commands {
    /// Until the owners of all shards had begun.
    beginning: Duration,
    per_second: Vec<f64>,
    count: f64,
    cpu: Duration,
}

fn events() -> u64 {
    let set = std::env::var("EVENTS").ok();
    set.map_or(10_000_000, |text| text.replace(['_', ','], "").parse().expect("EVENTS is a number"))
}

/// Makes a store that the program has prepared.
async fn make(fill: impl AsyncFnOnce(&Library) -> Filled) -> Store {
    let (place, dir, credentials) = shop();
    let library = Library::open(&dir, place.names()).await;
    let start = Instant::now();
    let filled = fill(&library).await;
    library.close().await;
    println!(
        "filled with {} events of {} streams in {:.1} s, {:.0} a second",
        filled.events,
        filled.streams,
        start.elapsed().as_secs_f64(),
        filled.events as f64 / start.elapsed().as_secs_f64()
    );
    Store { place, dir, credentials, filled }
}

/// Orders on streams of their own, as they are placed.
async fn commands(stores: &[Store; 2]) -> [Commands; 2] {
    let mut all = [Commands::default(), Commands::default()];
    let mut libraries = Vec::new();
    for (store, of) in stores.iter().zip(&mut all) {
        let start = Instant::now();
        libraries.push(Library::open(&store.dir, store.place.names()).await);
        of.beginning = start.elapsed();
    }
    for turn in 0..TURNS * 2 {
        // To and fro, so that neither store has the better times of a machine that changes its speed.
        let n = usize::from(matches!(turn % 4, 1 | 2));
        let (owners, of) = (Arc::clone(&libraries[n].owners), &mut all[n]);
        let (processes, start) = (Processes::of_shop(std::process::id()), Instant::now());
        let line = callers_for(measured(), CALLERS, move |_| {
            let owners = Arc::clone(&owners);
            async move { drop(library::submit(&owners, place_order()).await) }
        });
        let line = line.await;
        of.per_second.push(line.per_second);
        of.count += line.per_second * start.elapsed().as_secs_f64();
        of.cpu += processes.used().iter().map(|(_, used)| used.cpu).sum::<Duration>();
    }
    for library in libraries {
        library.close().await;
    }
    all
}

fn row(what: &str, [few, many]: [f64; 2]) {
    println!("| {what:<44} | {few:>12.3} | {many:>12.3} | {:>6.2} |", many / few);
}

fn print(stores: &[Store; 2], served: &[Served], commands: &[Commands; 2]) {
    let events = |n: usize| format!("{} events", stores[n].filled.events);
    println!("\n| {:<44} | {:>12} | {:>12} | ratio  |", "", events(0), events(1));
    println!("| {:-<44} | -----------: | -----------: | -----: |", "");
    let both = |figure: &dyn Fn(usize) -> f64| [figure(0), figure(1)];
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    row("start to /health/ready, s", both(&|n| served[n].ready.as_secs_f64()));
    for (what, _) in &served[0].lines {
        let line = |n: usize| served[n].lines.iter().find(|(name, _)| name == what).unwrap().1;
        row(&format!("{what}, p50 ms"), both(&|n| line(n).p50.as_secs_f64() * 1e3));
        row(&format!("{what}, p99 ms"), both(&|n| line(n).p99.as_secs_f64() * 1e3));
    }
    row("server, resident after the start, MiB", both(&|n| mib(served[n].started.resident)));
    row("server, resident at the end, MiB", both(&|n| mib(served[n].ended.resident)));
    row("server, resident at its highest, MiB", both(&|n| mib(served[n].ended.highest)));
    if stores[0].place.names().is_none() {
        row("data directory, MiB", both(&|n| mib(served[n].on_disk)));
    }
    row("library: owners of all shards begin, s", both(&|n| commands[n].beginning.as_secs_f64()));
    row("library, 64 callers: commands/s", both(&|n| mean(&commands[n].per_second)));
    row(
        "library: CPU ms a command, load included",
        both(&|n| commands[n].cpu.as_secs_f64() * 1e3 / commands[n].count),
    );
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[tokio::main]
async fn main() {
    let few = make(async |library| fill::few(library, FEW).await).await;
    let many = make(async |library| fill::many(library, events()).await).await;
    let stores = [few, many];
    let mut served = Vec::new();
    for store in &stores {
        served.push(served::measure(&store.dir, &store.credentials, &store.filled).await);
    }
    let commands = commands(&stores).await;
    print(&stores, &served, &commands);
}
