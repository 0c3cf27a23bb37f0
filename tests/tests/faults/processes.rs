//! `kill -9` of every role at every step of an order, and owners that are paused past their lease.

use rand::RngExt as _;
use tests::cluster::ROLES;
use tests::server::eventually;
use tests::shop::{SETTLES_WITHIN, ok};

use crate::steps::{Ordered, STEPS};
use crate::world::{World, play};

// proves: OPS-2, SAG-1, ORD-1, INV-2, PAY-3, P3, P4, P5, P6, P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_is_killed_at_every_step_of_an_order() {
    play("kill -9 of every role at every step", 2, async |world| {
        for role in ROLES {
            world
                .survives(&format!("kill -9 of {role}"), async |world, workload| {
                    for step in STEPS {
                        let ordered = step.reach(world, workload).await;
                        for n in at_work(world, role, &ordered).await {
                            world.cluster.kill(role, n);
                        }
                        for n in 0..2 {
                            if !world.cluster.runs(role, n) {
                                world.cluster.restart(role, n).await;
                            }
                        }
                        ordered.acknowledged().await;
                    }
                    // One of two, and the other one goes on alone for a while.
                    let n = world.dice.random_range(0..2);
                    world.cluster.kill(role, n);
                    workload.more(5).await;
                    world.cluster.restart(role, n).await;
                })
                .await;
        }
    })
    .await;
}

/// The processes of a role that have an order in hand: its owner, or all of those whose share nobody sees from outside.
async fn at_work(world: &World, role: &str, ordered: &Ordered) -> Vec<usize> {
    match ordered {
        Ordered::Acknowledged(placed) if role == "command-api" => {
            vec![world.cluster.owner_of(placed.shard()).await]
        }
        Ordered::Acknowledged(_) | Ordered::OnItsWay(_) => vec![0, 1],
    }
}

// proves: OPS-2, P3, P4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_paused_past_its_lease_wakes_up_to_another_one() {
    play("SIGSTOP of an owner past its lease", 2, async |world| {
        for n in 0..2 {
            world
                .survives(&format!("a pause of command-api {n}"), async |world, workload| {
                    let other = world.cluster.client("command-api", 1 - n);
                    world.cluster.signal("command-api", n, "STOP");
                    // The others' view of who owns what is the condition: every shard is served by the one that runs.
                    eventually("the other process to own every shard", SETTLES_WITHIN, || async {
                        let health = ok(other.get("/health").await);
                        let owned = health.body["owners"].as_array().map(Vec::len);
                        (owned == Some(16)).then_some(())
                    })
                    .await;
                    workload.more(10).await;
                    world.cluster.signal("command-api", n, "CONT");
                })
                .await;
        }
    })
    .await;
}
