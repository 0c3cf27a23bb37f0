//! P1–P3: the outcome of a write is not known at once.

use std::sync::Arc;
use std::time::Duration;

use domain::command::CommandError;
use domain::ports::gateway::CommandGateway;
use domain::ports::log::Decision;

use super::FreshLog;
use super::world::{World, command, insist, level, out_of_stock, owners, owners_with, reserve, set_stock};
use crate::faults::{FaultyLog, ProposeFault};

/// The write is applied and its reply lost: the command is accepted, once.
// proves: P3
pub async fn applied_then_timed_out<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let owners = owners(faulty.clone()).await;
    faulty.inject([ProposeFault::AppliedThenTimedOut, ProposeFault::AppliedThenTimedOut]);
    owners.submit(command(set_stock(5))).await.unwrap();
    assert_eq!(level(&owners).await, (5, 0, 1));
    assert_eq!(world.count("inventory.stock_set").await, 1);
}

/// The write is on its way while its reply is lost; identical bytes decide the slot, and the late write changes nothing.
// proves: P3, P1
pub async fn timed_out_then_sent_again<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let owners = owners(faulty.clone()).await;
    faulty.inject([ProposeFault::TimedOutThenLands]);
    owners.submit(command(set_stock(5))).await.unwrap();
    assert_eq!(faulty.land_late().await, [Ok(Decision::Decided)], "the slot holds these very bytes");
    owners.submit(command(set_stock(6))).await.unwrap();
    assert_eq!(world.count("inventory.stock_set").await, 2);
}

/// The write is on its way when storage refuses the next attempt: the refusal says nothing about the first.
// proves: P3
pub async fn a_refusal_after_a_time_out_is_no_outcome<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let owners = owners(faulty.clone()).await;
    faulty.inject([ProposeFault::TimedOutThenLands, ProposeFault::NotWritten]);
    owners.submit(command(set_stock(5))).await.unwrap();
    assert_eq!(faulty.land_late().await, [Ok(Decision::Decided)], "the slot holds these very bytes");
    assert_eq!(level(&owners).await, (5, 0, 1));
}

/// A write reported as timed out arrives after a newer owner's fence: it must not land.
// proves: P1, P3, P4
pub async fn late_write_after_a_newer_fence<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let old = owners(faulty.clone()).await;
    old.submit(command(set_stock(5))).await.unwrap();
    // The old owner's network swallows every attempt for a while.
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    faulty.inject([ProposeFault::TimedOutThenLands, ProposeFault::PausedBefore(Arc::clone(&gate))]);
    let (submit, new) = tokio::join!(old.submit(command(reserve(1, 1))), async {
        faulty.fault_met().await;
        let new = owners(world.log()).await;
        new.submit(command(reserve(2, 5))).await.unwrap();
        let late = faulty.land_late().await;
        assert!(matches!(late[..], [Ok(Decision::Taken(_))]), "the fence has the slot");
        gate.add_permits(1);
        new
    });
    assert!(matches!(submit, Err(CommandError::NotOwner { .. })), "nothing was appended: {submit:?}");
    assert_eq!(level(&new).await, (5, 5, 2));
    assert_eq!(world.count("inventory.reserved").await, 1);
}

/// A write reported as timed out arrives before the newer owner's fence: the newer owner adopts it.
// proves: P3, P4
pub async fn late_write_before_the_fence<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let old = owners(faulty.clone()).await;
    old.submit(command(set_stock(5))).await.unwrap();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    faulty.inject([ProposeFault::TimedOutThenLands, ProposeFault::PausedBefore(Arc::clone(&gate))]);
    let request = command(reserve(1, 5)).repeatable([1; 32]);
    let (submit, new) = tokio::join!(old.submit(request.clone()), async {
        faulty.fault_met().await;
        faulty.land_late().await;
        let new = owners(world.log()).await;
        assert_eq!(level(&new).await, (5, 5, 2), "the newer owner knows the late write");
        gate.add_permits(1);
        new
    });
    let accepted = submit.unwrap();
    let repeat = new.submit(request).await.unwrap();
    assert!(repeat.repeated);
    assert_eq!((repeat.position, repeat.answer), (accepted.position, accepted.answer));
    assert!(out_of_stock(&new.submit(command(reserve(2, 1))).await));
}

/// Storage refuses: nothing is appended, nobody is told a refusal, and it goes on when storage does.
// proves: P3
pub async fn not_written_is_unavailable_and_recovers<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let owners = owners(faulty.clone()).await;
    owners.submit(command(set_stock(1))).await.unwrap();
    faulty.inject([ProposeFault::NotWritten]);
    let refused = owners.submit(command(reserve(1, 1))).await;
    assert!(matches!(refused, Err(CommandError::Unavailable(_))), "{refused:?}");
    assert_eq!(level(&owners).await, (1, 0, 1), "the tentative reservation is gone");
    owners.submit(command(reserve(2, 1))).await.unwrap();
    assert_eq!(world.count("inventory.reserved").await, 1);
}

/// While a slot is open its callers are left with an unknown outcome, never with a yes or no; afterwards a repeat has the answer.
// proves: P3
pub async fn open_slot_answers_nobody<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let config = command_api::owner::OwnerConfig {
        answer_within: Duration::from_millis(300),
        ..super::world::config()
    };
    let owners = owners_with(faulty.clone(), config).await;
    insist(&owners, command(set_stock(1))).await.unwrap();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    faulty.inject([ProposeFault::PausedAfter(Arc::clone(&gate))]);
    let first = command(reserve(1, 1)).repeatable([1; 32]);
    let unknown = Err(CommandError::OutcomeUnknown(first.id));
    assert_eq!(owners.submit(first.clone()).await, unknown);
    // Where the machine is slower than the caller waits, the repeat isn't answered either.
    let repeat = owners.submit(first.clone()).await;
    assert!(repeat == Err(CommandError::InFlight) || repeat == unknown, "{repeat:?}");
    gate.add_permits(1);
    let refused = insist(&owners, command(reserve(2, 1))).await;
    assert!(out_of_stock(&refused), "{refused:?}");
    assert!(insist(&owners, first).await.unwrap().repeated);
}
