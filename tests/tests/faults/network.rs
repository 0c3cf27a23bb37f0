//! A network that loses replies, and an engine that is slow.

use std::collections::BTreeMap;
use std::time::Duration;

use command_api::web::unserved::Unserved;
use rand::RngExt as _;
use serde_json::json;
use tests::metrics::number;
use tests::proxy::Weather;
use tests::server::{Start, eventually};
use tests::shop::{SETTLES_WITHIN, ok};
use tests::workload::Workload;

use crate::world::{World, play, play_with};

/// Callers that want more than a slow log can take: more than all doors let in.
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

/// Operators look at the owners by listeners of their own, which no crowd is in the way of.
fn watched(role: &'static str, start: Start) -> Start {
    if role == "command-api" { start.set("http.admin_listen", "127.0.0.1:0") } else { start }
}

/// Whatever the machine takes for it: never more than so many requests are in progress, whoever is one too many is told so, everybody is
/// answered, and meanwhile operators are.
// proves: OPS-3, SEC-10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_log_is_answered_by_503_with_retry_after_and_bounded_memory() {
    play_with("a slow log", 2, watched, async |world| {
        world
            .survives("a log that takes ten seconds for an answer", async |world, workload| {
                let front = workload.front().patient();
                let crowded = front.product("crowded", 1_000, 1).await;
                let operators = [0, 1].map(|n| world.cluster.operators("command-api", n).patient());
                world.proxy.set(Weather::Slow(Duration::from_secs(5)));
                let path = format!("/api/v1/products/{crowded}/inventory");
                let crowd = (0..CROWD).map(|n| front.warehouse.put(&path, &json!({ "on_hand": n })).send());
                let watch = async {
                    let mut most = 0;
                    loop {
                        for (n, operator) in operators.iter().enumerate() {
                            most = memory(world.cluster.pid("command-api", n)).max(most);
                            let metrics = ok(operator.get("/metrics").await).expect(200).text;
                            let number = |name| number(&metrics, name);
                            assert!(
                                number("http_requests_in_progress") <= number("http_requests_most"),
                                "{metrics}"
                            );
                            assert_eq!(number("http_connections_dropped_total"), 0, "{metrics}");
                            let _ = ok(operator.get("/health/live").await).expect(200);
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
                let mut refused: BTreeMap<String, usize> = BTreeMap::new();
                for reply in answers.into_iter().map(ok).filter(|reply| reply.status != 200) {
                    let problem = reply.problem().to_owned();
                    assert!(
                        reply.status == 503 && Unserved::CODES.contains(&problem.as_str()),
                        "{}",
                        reply.text
                    );
                    assert!(reply.header("retry-after").parse::<u64>().is_ok(), "{}", reply.text);
                    let names_command = reply.body["command_id"].is_string();
                    assert_eq!(names_command, problem == "outcome-unknown", "{}", reply.text);
                    *refused.entry(problem).or_default() += 1;
                }
                world.round.tell(format!("{CROWD} callers are answered; refused: {refused:?}"));
                assert!(refused.contains_key("overloaded"), "nobody was told that there is no room");
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
