//! Kills: the process ends at any step of its work with the log, and another one goes on.

use std::sync::Arc;
use std::time::Duration;

use command_api::owner::{OwnerConfig, Owners};
use domain::command::{CommandError, CommandRequest};
use domain::ports::clock::SystemClock;
use domain::ports::gateway::CommandGateway;

use super::FreshLog;
use super::world::{Published, World, command, config, level, owners, reserve, set_stock};
use crate::faults::FaultyLog;

const ORDERS: u128 = 6;

fn workload() -> Vec<CommandRequest> {
    let reservations = (0..ORDERS).map(|n| command(reserve(n, 1)).repeatable([1; 32]));
    std::iter::once(command(set_stock(100)).repeatable([2; 32])).chain(reservations).collect()
}

/// Runs the workload until the kill; answers what was acknowledged.
async fn run_until_killed(faulty: &Arc<FaultyLog>, requests: &[CommandRequest]) -> Vec<usize> {
    let registry = Arc::new(sagas::registry());
    let config = OwnerConfig { snapshot_every: 3, stop_within: Duration::from_millis(10), ..config() };
    let start = Owners::start(
        faulty.clone(),
        registry,
        Arc::new(Published::default()),
        Arc::new(SystemClock),
        config,
    );
    let mut acknowledged = Vec::new();
    let work = async {
        let owners = start.await.expect("the store can be taken over");
        // Pairs of commands at once, so that frames hold more than one.
        for (n, pair) in (0..).step_by(2).zip(requests.chunks(2)) {
            let outcomes = futures::future::join_all(pair.iter().map(|r| owners.submit(r.clone()))).await;
            acknowledged.extend((n..).zip(outcomes).filter(|(_, outcome)| outcome.is_ok()).map(|(n, _)| n));
        }
        // Let what is behind the log reach the kill as well.
        owners.stop().await;
    };
    tokio::select! {
        () = work => {}
        () = faulty.fault_met() => {}
    }
    acknowledged
}

/// For every step of a workload: killed there, an acknowledged command is there once, and repeating the others under their
/// ids leads to each of them once.
// proves: P1, P3, P4, P5, P6
pub async fn a_kill_at_every_step_loses_and_doubles_nothing<B: FreshLog>() {
    let mut steps = 0;
    loop {
        let world = World::<B>::new().await;
        let requests = workload();
        let faulty = FaultyLog::killed_after(world.log(), steps);
        let acknowledged = run_until_killed(&faulty, &requests).await;
        let went_through = !faulty.killed();
        let next = owners(world.log()).await;
        for n in &acknowledged {
            let repeat = next.submit(requests[*n].clone()).await.unwrap();
            assert!(repeat.repeated, "acknowledged command {n} is gone after a kill at step {steps}");
        }
        for request in &requests {
            let outcome = next.submit(request.clone()).await;
            assert!(!matches!(outcome, Err(CommandError::BodyMismatch)), "{outcome:?}");
            outcome.unwrap();
        }
        assert_eq!(level(&next).await, (100, ORDERS as u64, 1 + ORDERS as u64), "killed at step {steps}");
        next.stop().await;
        let report = infra::verify::verify_store(&*world.log(), |_, _| {}).await.unwrap();
        assert!(report.ok, "killed at step {steps}: {report:?}");
        if went_through {
            assert!(steps > 20, "the workload has more steps than {steps}");
            return;
        }
        steps += 1;
    }
}
