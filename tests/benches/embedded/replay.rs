//! Reading the log back, and rebuilding the read models from it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use domain::frame::DecidedFrame;
use domain::ports::gateway::CommandGateway;
use domain::ports::log::{EventLog, LogReader};
use domain::position::Shard;
use infra::sqlite::log::SqliteLog;
use tests::bench::place_order;

use crate::{directory, owners};

/// Has orders placed.
async fn fill(dir: &Path, orders: u64) {
    let owners = owners(dir).await;
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

/// Reads and decodes every frame; returns how many events there are.
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

pub(crate) fn replay() {
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
        infra::rebuild::rebuild(dir.path(), infra::shop::projections(), &[], &*log, &mut |_| {})
            .await
            .unwrap();
        start.elapsed()
    };
    // The first time, the live rows are brought to the log's end as well.
    runtime.block_on(rebuild());
    let took = runtime.block_on(rebuild());
    println!("all read models rebuilt and compared: {:.0} events/s", events as f64 / took.as_secs_f64());
}
