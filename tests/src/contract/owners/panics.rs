//! Faults of the program's own: a panic costs the frame it is in, and never leaves a shard without an owner for ever.

use std::time::Duration;

use command_api::owner::{OnDeposed, OwnerConfig, Owners};
use domain::command::{Accepted, CommandError};
use domain::ports::gateway::CommandGateway;
use domain::position::Shard;

use super::FreshLog;
use super::note::{self, PANICS, write};
use super::world::{World, config};
use crate::faults::{Call, CallFault, FaultyLog};
use crate::shop::SETTLES_WITHIN;

/// Writes as soon as somebody takes the shard's commands again.
async fn write_again(owners: &Owners) -> Accepted {
    let again = async {
        loop {
            match owners.submit(write(4)).await {
                Ok(accepted) => break accepted,
                Err(error) => assert!(matches!(error, CommandError::NotOwner { .. }), "{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SETTLES_WITHIN, again).await.expect("taken over again")
}

/// A decision panics: its caller learns that the outcome is unknown, and the shard is taken over again.
// proves: P4
pub async fn a_panic_in_a_decision_costs_its_frame_only<B: FreshLog>() {
    let world = World::<B>::new().await;
    let owners = note::owners(world.log(), config()).await;
    owners.submit(write(3)).await.unwrap();
    let panicked = write(PANICS).repeatable([1; 32]);
    assert_eq!(owners.submit(panicked.clone()).await, Err(CommandError::OutcomeUnknown(panicked.id)));
    assert_eq!(write_again(&owners).await.position.n, 2);
    assert_eq!(world.count("note.written").await, 2);
}

/// The takeover after it panics as well, and storage fails the one after that: where no other process can own the shard, it is taken
/// over all the same.
// proves: P4, OPS-2
pub async fn a_panic_while_taking_over_again_is_no_end<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    // Only the takeovers read frames.
    faulty.set_partitions(None);
    let alone = OwnerConfig { on_deposed: OnDeposed::TakeOverAgain, ..config() };
    let owners = note::owners(faulty.clone(), alone).await;
    faulty.inject_in(Call::ReadFrames, [CallFault::Panics, CallFault::Fails, CallFault::Panics]);
    assert!(owners.submit(write(PANICS)).await.is_err());
    for _ in 0..3 {
        faulty.fault_met().await;
    }
    write_again(&owners).await;
    assert_eq!(world.count("note.written").await, 1);
}

/// Where another process can own it, it is left to that one: whoever renews its lease sees that nobody serves it here.
// proves: P4, OPS-2
pub async fn a_shard_that_cannot_be_taken_over_again_is_left_to_others<B: FreshLog>() {
    for fault in [CallFault::Panics, CallFault::Fails] {
        let world = World::<B>::new().await;
        let faulty = FaultyLog::new(world.log());
        // Only the takeovers read frames.
        faulty.set_partitions(None);
        let owners = note::owners(faulty.clone(), config()).await;
        let mut endings = owners.endings();
        endings.mark_unchanged();
        faulty.inject_in(Call::ReadFrames, [fault]);
        assert!(owners.submit(write(PANICS)).await.is_err());
        endings.changed().await.unwrap();
        assert!(!owners.owns(Shard(0)));
        owners.acquire(Shard(0)).await.unwrap();
        write_again(&owners).await;
    }
}
