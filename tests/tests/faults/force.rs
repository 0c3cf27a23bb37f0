//! Two owners and two publishers at once, by force: processes that take every shard from each other all the time.

use std::time::Duration;

use rand::RngExt as _;
use tests::server::eventually;
use tests::shop::SETTLES_WITHIN;

use crate::world::play_with;

// proves: P1, P2, P4, P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_owners_and_two_publishers_at_once_lose_and_double_nothing() {
    // An owner beats far too seldom for the patience of the other, which therefore takes its shards while it is well.
    let impatient = |role, start: tests::server::Start| match role {
        "command-api" => start.set("lease.beat", "700ms").set("lease.time", "800ms"),
        _ => start,
    };
    play_with("two owners by force", 2, impatient, async |world| {
        world
            .survives("owners that take shards from each other", async |world, workload| {
                let before = world.cluster.epochs().await;
                for _ in 0..6 {
                    let n = world.dice.random_range(0..2);
                    let paused = world.cluster.address("command-api", n);
                    world.cluster.signal("command-api", n, "STOP");
                    // Others have its shards when it goes on with the work at hand.
                    eventually("the paused process to own nothing", SETTLES_WITHIN, || async {
                        let leases = world.cluster.leases().await?;
                        leases.iter().all(|lease| lease["address"] != paused.as_str()).then_some(())
                    })
                    .await;
                    tokio::time::sleep(Duration::from_millis(world.dice.random_range(0..1_500))).await;
                    world.cluster.signal("command-api", n, "CONT");
                    workload.more(5).await;
                }
                let taken = world.cluster.epochs().await - before;
                world.round.tell(format!("shards were taken {taken} times"));
                assert!(taken >= 16, "{taken}");
            })
            .await;
    })
    .await;
}
