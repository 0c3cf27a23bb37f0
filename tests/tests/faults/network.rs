//! A network that loses replies, and an engine that is slow.

use std::time::{Duration, Instant};

use rand::RngExt as _;
use serde_json::json;
use tests::proxy::Weather;
use tests::server::eventually;
use tests::shop::SETTLES_WITHIN;
use tests::workload::Workload;

use crate::world::{World, play};

/// Callers that want more than a slow log can take: more than all queues hold.
const CROWD: usize = 6_000;
/// Resident memory that a process may take meanwhile, in MiB.
const MEMORY: u64 = 700;

// proves: P3, ORD-1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_whose_replies_are_lost_count_once() {
    play("lost replies", 2, async |world| {
        world
            .survives("replies of the log lost, again and again", async |world, workload| {
                for _ in 0..8 {
                    let after = Duration::from_millis(world.dice.random_range(0..300));
                    let lasts = Duration::from_millis(world.dice.random_range(50..800));
                    bad_weather(world, workload, Weather::RepliesCut(after), lasts).await;
                }
            })
            .await;
        world
            .survives(
                "connections to the log severed, and a network that is gone for a while",
                async |world, workload| {
                    for weather in [Weather::Severed, Weather::Blackhole] {
                        let lasts = Duration::from_millis(world.dice.random_range(500..4_000));
                        bad_weather(world, workload, weather, lasts).await;
                    }
                },
            )
            .await;
    })
    .await;
}

/// Bad weather before the log, which does harm and then lasts so long; then fair weather, and orders.
async fn bad_weather(world: &World, workload: &Workload, weather: Weather, lasts: Duration) {
    world.round.tell(format!("{weather:?}"));
    let before = world.proxy.harm();
    world.proxy.set(weather);
    eventually("the weather to do harm", SETTLES_WITHIN, || async {
        (world.proxy.harm() > before).then_some(())
    })
    .await;
    tokio::time::sleep(lasts).await;
    world.proxy.set(Weather::Fair);
    world.round.tell(format!("fair weather, after harm in {} places", world.proxy.harm() - before));
    workload.more(3).await;
}

// proves: OPS-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_log_is_answered_by_503_with_retry_after_and_bounded_memory() {
    play("a slow log", 2, async |world| {
        world
            .survives("a log that takes ten seconds for an answer", async |world, workload| {
                let crowded = workload.front().product("crowded", 1_000, 1).await;
                world.proxy.set(Weather::Slow(Duration::from_secs(5)));
                let began = Instant::now();
                let front = workload.front();
                let path = format!("/api/v1/products/{crowded}/inventory");
                let crowd = (0..CROWD).map(|n| front.warehouse.put(&path, &json!({ "on_hand": n })).send());
                let watch = async {
                    let mut most = 0;
                    loop {
                        for n in 0..2 {
                            most = memory(world.cluster.pid("command-api", n)).max(most);
                        }
                        world.round.tell(format!("{most} MiB at most"));
                        assert!(most < MEMORY, "{most} MiB");
                        tokio::time::sleep(Duration::from_millis(500)).await;
                    }
                };
                let answers = tokio::select! {
                    answers = futures::future::join_all(crowd) => answers,
                    () = watch => unreachable!("it watches for ever"),
                };
                world.round.tell(format!("{CROWD} callers were answered after {:?}", began.elapsed()));
                let (mut taken, mut refused, mut unanswered) = (0, 0, 0);
                for answer in answers {
                    match answer {
                        Ok(reply) if reply.status == 200 => taken += 1,
                        Ok(reply) => {
                            let retry = !reply.header("retry-after").is_empty();
                            assert!(reply.status == 503 && retry, "{} {}", reply.status, reply.text);
                            refused += 1;
                        }
                        Err(error) => {
                            world.round.tell(format!("{error:?}"));
                            unanswered += 1;
                        }
                    }
                }
                world.round.tell(format!("{taken} taken, {refused} refused, {unanswered} unanswered"));
                assert!(refused > 0, "nobody was refused");
                assert_eq!(unanswered, 0, "everybody gets an answer");
                world.proxy.set(Weather::Fair);
            })
            .await;
    })
    .await;
}

/// Resident, in MiB.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}
