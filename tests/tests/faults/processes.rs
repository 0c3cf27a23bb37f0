//! `kill -9` of every role at every step of an order, and owners that are paused past their lease.

use std::time::Duration;

use rand::RngExt as _;
use tests::cluster::ROLES;
use tests::server::eventually;
use tests::shop::{SETTLES_WITHIN, ok};
use tests::workload::Workload;
use tokio_util::sync::CancellationToken;

use crate::world::{World, play};

/// What is known of an order when a process is killed.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// It was sent: not decided, or just so, or already published.
    Sent,
    /// It was acknowledged: decided; perhaps not published.
    Acknowledged,
    /// It can be read: applied; perhaps without its checkpoint.
    Visible,
    /// Its saga has stock.
    Reserved,
    /// Its saga has money.
    Paid,
}

const STEPS: [Step; 5] = [Step::Sent, Step::Acknowledged, Step::Visible, Step::Reserved, Step::Paid];

// proves: OPS-2, SAG-1, ORD-1, INV-2, PAY-3, P3, P4, P5, P6, P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_is_killed_at_every_step_of_an_order() {
    play("kill -9 of every role at every step", 2, async |world| {
        for role in ROLES {
            world
                .survives(&format!("kill -9 of {role}"), async |world, workload| {
                    for step in STEPS {
                        kill_at(world, workload, role, step).await;
                    }
                })
                .await;
        }
    })
    .await;
}

async fn kill_at(world: &mut World, workload: &Workload, role: &'static str, step: Step) {
    let n = world.dice.random_range(0..2);
    let moment = Duration::from_micros(world.dice.random_range(0..15_000));
    let ordering = tokio::spawn({
        let workload = workload.clone();
        async move { workload.order(&CancellationToken::new()).await.expect("it is never stopped") }
    });
    if let Step::Sent = step {
        // Any moment will do, and the seed says which.
        tokio::time::sleep(moment).await;
    } else {
        let order = ordering.await.expect("no panic");
        let path = format!("/api/v1/orders/{order}");
        let reached = |status: &str| match step {
            Step::Sent | Step::Acknowledged => true,
            Step::Visible => !status.is_empty(),
            // Those that are declined come back from here.
            Step::Reserved => !matches!(status, "" | "pending"),
            Step::Paid => matches!(status, "paid" | "cancelled" | "rejected"),
        };
        eventually(&format!("{order} to be {step:?}"), SETTLES_WITHIN, || async {
            let status = match step {
                Step::Acknowledged => String::new(),
                _ => world.cluster.front.admin.get(&path).await.ok()?.text_at("/status").to_owned(),
            };
            reached(&status).then_some(())
        })
        .await;
    }
    world.round.tell(format!("{step:?}"));
    world.cluster.kill(role, n);
    world.cluster.restart(role, n).await;
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
