//! P4: an owner that is none any more does no harm, and says neither yes nor no.

use std::pin::pin;
use std::sync::Arc;

use command_api::owner::{OnDeposed, OwnerConfig};
use domain::command::CommandError;
use domain::ports::gateway::CommandGateway;
use domain::position::Shard;
use tokio::sync::Semaphore;

use super::FreshLog;
use super::world::{
    World, command, config, level, out_of_stock, owners, owners_with, reserve, set_stock, stock,
};
use crate::faults::{Call, CallFault, FaultyLog, ProposeFault};

/// The old owner has "no stock" in memory; the new one has stocked up. The old one must not refuse from what it remembers.
// proves: P4
pub async fn a_deposed_owner_refuses_nothing_from_stale_state<B: FreshLog>() {
    let world = World::<B>::new().await;
    let old = owners(world.log()).await;
    assert!(out_of_stock(&old.submit(command(reserve(1, 1))).await));
    let new = owners(world.log()).await;
    new.submit(command(set_stock(5))).await.unwrap();
    let stale = old.submit(command(reserve(2, 1))).await;
    assert!(matches!(stale, Err(CommandError::NotOwner { .. })), "{stale:?}");
    let later = old.submit(command(reserve(3, 1))).await;
    assert!(matches!(later, Err(CommandError::NotOwner { .. })), "it stays out: {later:?}");
}

/// A read at a deposed owner is not answered from memory.
// proves: P4
pub async fn a_deposed_owner_tells_no_stale_state<B: FreshLog>() {
    let world = World::<B>::new().await;
    let old = owners(world.log()).await;
    old.submit(command(set_stock(1))).await.unwrap();
    let new = owners(world.log()).await;
    new.submit(command(set_stock(5))).await.unwrap();
    assert!(old.read(&[stock()]).await.is_err());
    assert_eq!(level(&new).await, (5, 0, 2));
}

/// An owner stopped between decision and write, past a takeover: its frame loses, and its command was not appended.
// proves: P4
pub async fn a_paused_owner_loses_its_frame<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let old = owners(faulty.clone()).await;
    old.submit(command(set_stock(1))).await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    faulty.inject([ProposeFault::PausedBefore(Arc::clone(&gate))]);
    let (lost, new) = tokio::join!(old.submit(command(reserve(1, 1))), async {
        faulty.fault_met().await;
        let new = owners(world.log()).await;
        new.submit(command(reserve(2, 1))).await.unwrap();
        gate.add_permits(1);
        new
    });
    assert!(matches!(lost, Err(CommandError::NotOwner { .. })), "{lost:?}");
    assert_eq!(level(&new).await, (1, 1, 2));
}

/// An owner stopped while it confirms a refusal, past a takeover: the refusal is no answer any more.
// proves: P4
pub async fn a_paused_owner_refuses_nothing<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let old = owners(faulty.clone()).await;
    assert_eq!(level(&old).await, (0, 0, 0));
    let gate = Arc::new(Semaphore::new(0));
    faulty.pause_slot_read(Arc::clone(&gate));
    let (refusal, ()) = tokio::join!(old.submit(command(reserve(1, 1))), async {
        faulty.fault_met().await;
        let new = owners(world.log()).await;
        new.submit(command(set_stock(5))).await.unwrap();
        gate.add_permits(1);
    });
    assert!(matches!(refusal, Err(CommandError::NotOwner { .. })), "{refusal:?}");
}

/// One frame holds the last piece's reservation and, because of it, another's refusal. The frame is lost: neither counts.
// proves: P4
pub async fn a_refusal_decided_on_a_lost_frame_is_no_answer<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let old = owners(faulty.clone()).await;
    old.submit(command(set_stock(2))).await.unwrap();
    let (first_gate, second_gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    faulty.inject([
        ProposeFault::PausedBefore(Arc::clone(&first_gate)),
        ProposeFault::PausedBefore(Arc::clone(&second_gate)),
    ]);
    let mut first = pin!(old.submit(command(reserve(1, 1))));
    assert!(futures::poll!(&mut first).is_pending());
    faulty.fault_met().await;
    // The first frame is held up, so both gather for the next one: the last piece for order 2, none left for order 3.
    let mut second = pin!(old.submit(command(reserve(2, 1))));
    let mut third = pin!(old.submit(command(reserve(3, 1))));
    assert!(futures::poll!(&mut second).is_pending());
    assert!(futures::poll!(&mut third).is_pending());
    first_gate.add_permits(1);
    first.await.unwrap();
    faulty.fault_met().await;
    let new = owners(world.log()).await;
    new.submit(command(set_stock(9))).await.unwrap();
    second_gate.add_permits(1);
    for lost in [second.await, third.await] {
        assert!(matches!(lost, Err(CommandError::NotOwner { .. })), "{lost:?}");
    }
    assert_eq!(level(&new).await, (9, 1, 3));
}

/// Where no other process can own the shard, a deposed owner takes it over again and knows what came between.
// proves: P4
pub async fn a_deposed_owner_takes_over_again_when_told<B: FreshLog>() {
    let world = World::<B>::new().await;
    let again = OwnerConfig { on_deposed: OnDeposed::TakeOverAgain, ..config() };
    let old = owners_with(world.log(), again).await;
    old.submit(command(set_stock(1))).await.unwrap();
    let between = owners(world.log()).await;
    between.submit(command(set_stock(7))).await.unwrap();
    let mut outcome = old.submit(command(reserve(1, 7))).await;
    for _ in 0..200 {
        if outcome.is_ok() {
            break;
        }
        assert!(matches!(outcome, Err(CommandError::NotOwner { .. })), "{outcome:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        outcome = old.submit(command(reserve(1, 7))).await;
    }
    outcome.unwrap();
}

/// A command's reply is lost with the owner, its client repeats it at the new one; the old one, when it wakes up, finds the
/// answer in the winner's frames.
// proves: P4
pub async fn a_loser_finds_its_command_in_the_winners_frames<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let old = owners(faulty.clone()).await;
    old.submit(command(set_stock(1))).await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    faulty.inject([ProposeFault::PausedBefore(Arc::clone(&gate))]);
    let request = command(reserve(1, 1)).repeatable([1; 32]);
    let (old_answer, new_answer) = tokio::join!(old.submit(request.clone()), async {
        faulty.fault_met().await;
        let new = owners(world.log()).await;
        let answer = new.submit(request.clone()).await.unwrap();
        gate.add_permits(1);
        answer
    });
    assert_eq!(old_answer.unwrap().position, new_answer.position);
    assert_eq!(world.count("inventory.reserved").await, 1);
}

/// The winner's frames can't be read: the loser can't know whether they hold its command.
// proves: P4
pub async fn a_loser_that_cannot_read_the_winners_frames_does_not_say_no<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let old = owners(faulty.clone()).await;
    old.submit(command(set_stock(1))).await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    faulty.inject([ProposeFault::PausedBefore(Arc::clone(&gate))]);
    let request = command(reserve(1, 1)).repeatable([1; 32]);
    let (old_answer, _) = tokio::join!(old.submit(request.clone()), async {
        faulty.fault_met().await;
        faulty.inject_in(Call::ReadFrames, [CallFault::Fails]);
        let new = owners(world.log()).await;
        new.submit(request.clone()).await.unwrap();
        gate.add_permits(1);
        new
    });
    assert_eq!(old_answer, Err(CommandError::OutcomeUnknown(request.id)));
}

/// The reply to a fence is lost: the same fence is sent again, not another one.
// proves: P3, P4
pub async fn a_fence_of_unknown_outcome_is_put_once<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    faulty.inject([ProposeFault::AppliedThenTimedOut, ProposeFault::AppliedThenTimedOut]);
    let owners = owners(faulty).await;
    owners.submit(command(set_stock(1))).await.unwrap();
    let frames = world.frames(Shard(0)).await;
    assert_eq!(frames.iter().map(|frame| frame.header.epoch).collect::<Vec<_>>(), [1, 1]);
}

/// Every owner begins with a fence of a higher epoch.
// proves: P4
pub async fn epochs_grow_with_every_owner<B: FreshLog>() {
    let world = World::<B>::new().await;
    for _ in 0..3 {
        owners(world.log()).await.stop().await;
    }
    let frames = world.frames(Shard(0)).await;
    let epochs: Vec<u64> = frames.iter().map(|frame| frame.header.epoch).collect();
    assert_eq!(epochs, [1, 2, 3]);
    assert!(frames.iter().all(|frame| frame.events.is_empty() && frame.header.first_position == 1));
}
