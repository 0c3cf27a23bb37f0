//! A rolling restart of three processes of every role under load.

use std::time::Duration;

use tests::cluster::ROLES;

use crate::world::play;

// proves: OPS-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_three_of_every_role_fails_no_command() {
    play("rolling restart", 3, async |world| {
        let workload = world.workload().await;
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
        world.round.tell(workload.summary());
        workload.known(|known| {
            assert_eq!(known.unanswered, 0, "requests were sent and not answered");
            let documented = ["overloaded", "outcome-unknown", "stale"];
            assert!(
                known.refusals.keys().all(|problem| documented.contains(&problem.as_str())),
                "{:?}",
                known.refusals
            );
        });
        // An order takes no longer to be answered than the handover that it met.
        let slowest = workload.known(|known| known.slowest);
        assert!(slowest < Duration::from_secs(20), "{slowest:?}");
        workload.check().await;
    })
    .await;
}
