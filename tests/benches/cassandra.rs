//! The log's port on Cassandra, measured without an owner above it: `cargo bench -p tests --features engines --bench cassandra`, with the
//! engines of `infra/local/engines` in the environment.
//!
//! Frames of 200 events of 640 bytes through `propose`, at one shard and at 16, one open proposal each; the same frames' derived
//! rows; reading the frames back; one tiny frame after the other in 16 shards. `FRAMES=n` sets how many tiny frames (default
//! 20,000), after which the size of the table `system.paxos` is told. `SECONDS=n` sets how long each other line is measured (default 5).

#![expect(clippy::print_stdout, reason = "a benchmark run by hand prints its table")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::frame::DecidedFrame;
use domain::ports::log::{Decision, EventLog, LogReader};
use domain::position::Shard;
use futures::future::join_all;
use infra::cassandra::CassandraLog;
use tests::cassandra::Keyspace;
use tests::contract::chain::Chain;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SHARDS: u16 = 16;
const EVENTS: u64 = 200;
/// With its envelope an event has about 640 bytes.
const PADDING: usize = 480;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// How many streams share a frame's events.
fn frame(chain: &mut Chain, streams: u64, events: u64) -> domain::frame::EncodedFrame {
    let streams: Vec<_> = (0..streams).map(|_| chain.stream()).collect();
    let commands: Vec<_> = streams.iter().map(|stream| (stream, events / streams.len() as u64)).collect();
    let frame = chain.proposal(&commands);
    chain.advance(&frame);
    frame
}

/// Decides frames in some shards until the time is up; answers frames and events a second.
async fn decide(log: &CassandraLog, chains: &mut [Chain], events: u64, time: Duration) -> (f64, f64) {
    let frames = AtomicU64::new(0);
    let begin = Instant::now();
    join_all(chains.iter_mut().map(|chain| async {
        while begin.elapsed() < time {
            let frame = Arc::new(frame(chain, if events > 1 { 50 } else { 1 }, events));
            assert_eq!(log.propose(frame).await, Ok(Decision::Decided));
            frames.fetch_add(1, Ordering::Relaxed);
        }
    }))
    .await;
    let rate = frames.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64();
    (rate, rate * events as f64)
}

async fn paxos(log_url: &infra::cassandra::CassandraUrl) -> String {
    let session =
        scylla::client::session_builder::SessionBuilder::new().known_nodes(log_url.hosts()).build().await;
    let session = session.expect("a session");
    let select = "SELECT mebibytes FROM system_views.disk_usage WHERE keyspace_name = 'system' AND table_name = 'paxos'";
    let size = session.query_unpaged(select, &[]).await.expect("the size").into_rows_result().expect("rows");
    let (size,) = size.first_row::<(i64,)>().expect("a row");
    let mut count = scylla::statement::Statement::new("SELECT row_key FROM system.paxos");
    count.set_page_size(100);
    let rows = session.query_iter(count, &[]).await.expect("the rows");
    let rows = futures::StreamExt::count(rows.rows_stream::<(Vec<u8>,)>().expect("keys")).await;
    format!("{rows} rows, {size} MiB on disk (memtable not counted)")
}

#[tokio::main]
async fn main() {
    let time = Duration::from_secs(setting("SECONDS", 5));
    let keyspace = Keyspace::new(SHARDS).await;
    let log = keyspace.open().await;
    println!("{}", log.promises().server);
    let mut chains: Vec<Chain> = (0..SHARDS).map(|n| Chain::new(&log, Shard(n)).padded(PADDING)).collect();

    decide(&log, &mut chains, EVENTS, Duration::from_secs(2)).await;
    for shards in [1, 16] {
        let (frames, events) = decide(&log, &mut chains[..shards], EVENTS, time).await;
        println!("{shards:>2} shards, 200-event frames: {frames:>6.0} frames/s {events:>8.0} events/s");
    }

    let begin = Instant::now();
    let (mut events, mut derived) = (0, Vec::new());
    for n in 0..SHARDS {
        let mut from = 1;
        loop {
            let page = log.read_frames(Shard(n), from, 256, 4 << 20).await.expect("a page");
            if page.is_empty() {
                break;
            }
            let first = from == 1;
            from += page.len() as u64;
            let frames: Vec<_> =
                page.iter().map(|bytes| Arc::new(DecidedFrame::decode(bytes).expect("a frame"))).collect();
            events += frames.iter().map(|frame| frame.events.len()).sum::<usize>();
            if first {
                derived.push((Shard(n), frames.into_iter().take(20).collect::<Vec<_>>()));
            }
        }
    }
    println!(
        "read back and decoded:        {:>24.0} events/s",
        events as f64 / begin.elapsed().as_secs_f64()
    );

    let begin = Instant::now();
    let rows: usize =
        derived.iter().flat_map(|(_, frames)| frames).map(|f| f.events.len() + f.commands.len()).sum();
    let events: usize = derived.iter().flat_map(|(_, frames)| frames).map(|f| f.events.len()).sum();
    let writes = derived.into_iter().map(|(shard, frames)| {
        let (log, batch) = (log.clone(), frames);
        async move { log.write_derived(shard, &batch).await.expect("rows") }
    });
    futures::StreamExt::for_each_concurrent(futures::stream::iter(writes), 4, |write| write).await;
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "derived rows of {events} events: {:>9.0} rows/s {:>8.0} events/s",
        rows as f64 / seconds,
        events as f64 / seconds
    );

    println!("system.paxos before:  {}", paxos(&keyspace.url).await);
    let frames = setting("FRAMES", 20_000);
    let mut chains: Vec<Chain> = chains.into_iter().map(|chain| chain.padded(0)).collect();
    let begin = Instant::now();
    join_all(chains.iter_mut().map(|chain| async {
        for _ in 0..frames / u64::from(SHARDS) {
            assert_eq!(log.propose(Arc::new(frame(chain, 1, 1))).await, Ok(Decision::Decided));
        }
    }))
    .await;
    println!("16 shards, 1-event frames:    {:>7.0} frames/s", frames as f64 / begin.elapsed().as_secs_f64());
    println!("system.paxos after {frames} more: {}", paxos(&keyspace.url).await);
}
