//! A rolling restart of three processes of every role under load.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tests::cluster::ROLES;
use tests::proxy::Weather;
use tests::server::{Start, eventually};
use tests::shop::{Front, SETTLES_WITHIN, ok};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::world::{play, play_with};

// proves: OPS-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_three_of_every_role_fails_no_command() {
    play("rolling restart", 3, async |world| {
        // Nobody here is paused, so every request is answered: a time-out of the client's own would hide that one isn't.
        world.cluster.front = world.cluster.front.patient();
        let workload = world.workload().await;
        let stop = CancellationToken::new();
        let restocking = tokio::spawn(restock(world.cluster.front.clone(), stop.clone()));
        let load = workload.start(8);
        workload.more(20).await;
        for role in ROLES {
            for n in 0..3 {
                world.cluster.terminate(role, n).await;
                world.cluster.restart(role, n).await;
                workload.more(5).await;
            }
        }
        load.stop().await;
        stop.cancel();
        let restocked = restocking.await.expect("no stock is refused");
        world.round.tell(format!("{}; stock set {restocked} times", workload.summary()));
        assert!(restocked > 20, "{restocked}");
        workload.known(|known| {
            assert_eq!(known.unreachable + known.unanswered, 0, "commands were sent and not answered");
            assert_eq!(known.reads_unanswered, 0, "queries were sent and not answered");
            assert!(known.reads > 20, "{}", known.reads);
            let only = |problems: &[&str], answers: &BTreeMap<String, u64>| {
                assert!(answers.keys().all(|problem| problems.contains(&problem.as_str())), "{answers:?}");
            };
            only(&["overloaded", "outcome-unknown"], &known.refusals);
            only(&["stale"], &known.reads_refused);
            // Whoever doesn't know the outcome repeats the command, and may meet the first attempt.
            assert!(
                known.conflicts == 0 || known.refusals.contains_key("outcome-unknown"),
                "{}",
                known.conflicts
            );
        });
        workload.check().await;
        world.cluster.holds_together().await;
    })
    .await;
}

/// Sets the stock of a product again and again; every answer is 200, or a 503 that may be repeated. How often it was set.
async fn restock(front: Front, stop: CancellationToken) -> u64 {
    let product = front.product("restocked", 1_000, 1).await;
    let path = format!("/api/v1/products/{product}/inventory");
    let mut times = 0;
    loop {
        let reply = ok(front.warehouse.put(&path, &json!({ "on_hand": times + 2 })).send().await);
        match reply.status {
            200 => {
                times += 1;
                if stop.is_cancelled() {
                    break;
                }
            }
            503 if matches!(reply.problem(), "overloaded" | "outcome-unknown") => {}
            status => panic!("{status} {}", reply.text),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    front.stock(&product, i64::try_from(times).expect("few") + 1, 0).await;
    times
}

// proves: OPS-2, P4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stops_answers_until_its_shards_are_given_away() {
    // However long the machine takes, the order is the same.
    let unhurried = |_, start: Start| start.set("http.drain", "10m");
    play_with("an orderly stop", 2, unhurried, async |world| {
        let address = world.cluster.address("command-api", 0);
        let owned = async |cluster: &tests::cluster::Cluster| {
            let leases = cluster.leases().await?;
            Some(leases.iter().filter(|lease| lease["address"].as_str() == Some(address.as_str())).count())
        };
        eventually("it to own shards", SETTLES_WITHIN, || async {
            (owned(&world.cluster).await? > 0).then_some(())
        })
        .await;
        // Giving them away takes a while, so that nobody can miss the order of the two.
        world.proxy.set(Weather::Slow(Duration::from_millis(100)));
        world.cluster.signal("command-api", 0, "TERM");
        eventually("connections to be refused", SETTLES_WITHIN, || async {
            TcpStream::connect(&address).await.is_err().then_some(())
        })
        .await;
        assert_eq!(owned(&world.cluster).await, Some(0), "it listens no more, and has shards");
        world.proxy.set(Weather::Fair);
        world.cluster.ended("command-api", 0).await;
        world.cluster.restart("command-api", 0).await;
        world.cluster.holds_together().await;
    })
    .await;
}
