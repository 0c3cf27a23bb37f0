//! Commands repeated: one id, one outcome.

use domain::command::CommandError;
use domain::ports::gateway::CommandGateway;
use domain::position::Shard;

use super::FreshLog;
use super::world::{World, command, level, out_of_stock, owners, reserve, set_stock};

const BODY: [u8; 32] = [1; 32];

/// A repeat is answered what the first was, and appends nothing.
// proves: P3, ORD-1
pub async fn a_repeat_gets_the_stored_answer<B: FreshLog>() {
    let world = World::<B>::new().await;
    let owners = owners(world.log()).await;
    let request = command(set_stock(5)).repeatable(BODY);
    let first = owners.submit(request.clone()).await.unwrap();
    owners.submit(command(set_stock(6))).await.unwrap();
    let repeat = owners.submit(request.clone()).await.unwrap();
    assert!(!first.repeated && repeat.repeated);
    assert_eq!((repeat.position, repeat.answer), (first.position, first.answer));
    assert_eq!(level(&owners).await, (6, 0, 2), "the repeat did not set the stock back");
    let stored = owners.answered(Shard(0), request.id, &BODY).await.unwrap();
    assert_eq!(stored.map(|accepted| accepted.position), Some(first.position));
}

/// The same id with another body is refused, and nothing is appended.
// proves: ORD-1
pub async fn a_repeat_with_another_body_is_refused<B: FreshLog>() {
    let world = World::<B>::new().await;
    let owners = owners(world.log()).await;
    let request = command(set_stock(5)).repeatable(BODY);
    owners.submit(request.clone()).await.unwrap();
    let other = request.clone().repeatable([2; 32]);
    assert_eq!(owners.submit(other).await, Err(CommandError::BodyMismatch));
    assert_eq!(owners.answered(Shard(0), request.id, &[2; 32]).await, Err(CommandError::BodyMismatch));
    assert_eq!(level(&owners).await, (5, 0, 1));
}

/// Only accepted commands are kept: a refused one may succeed later under its id.
// proves: ORD-1
pub async fn a_refused_command_is_judged_anew<B: FreshLog>() {
    let world = World::<B>::new().await;
    let owners = owners(world.log()).await;
    let request = command(reserve(1, 1)).repeatable(BODY);
    assert!(out_of_stock(&owners.submit(request.clone()).await));
    assert_eq!(owners.answered(Shard(0), request.id, &BODY).await, Ok(None));
    owners.submit(command(set_stock(1))).await.unwrap();
    assert!(!owners.submit(request.clone()).await.unwrap().repeated);
    assert!(owners.submit(request).await.unwrap().repeated);
}

/// Many callers with one id at the same moment: decided once, and nobody is told anything else.
// proves: P1, ORD-1
pub async fn two_at_once_are_decided_once<B: FreshLog>() {
    let world = World::<B>::new().await;
    let owners = owners(world.log()).await;
    let request = command(set_stock(5)).repeatable(BODY);
    let outcomes = futures::future::join_all((0..32).map(|_| owners.submit(request.clone()))).await;
    let first = outcomes.iter().filter(|outcome| matches!(outcome, Ok(a) if !a.repeated)).count();
    assert_eq!(first, 1);
    for outcome in &outcomes {
        assert!(matches!(outcome, Ok(_) | Err(CommandError::InFlight)), "{outcome:?}");
    }
    assert_eq!(world.count("inventory.stock_set").await, 1);
}

/// A repeat at a new owner finds the answer in derived rows or in the overlay.
// proves: P5, ORD-1
pub async fn repeats_survive_a_change_of_owner<B: FreshLog>() {
    let world = World::<B>::new().await;
    let old = owners(world.log()).await;
    let request = command(set_stock(5)).repeatable(BODY);
    let first = old.submit(request.clone()).await.unwrap();
    old.stop().await;
    let new = owners(world.log()).await;
    let repeat = new.submit(request.clone()).await.unwrap();
    assert!(repeat.repeated);
    assert_eq!((repeat.position, repeat.answer), (first.position, first.answer));
    new.stop().await;
    // Without any derived row the new owner has it from the log.
    world.log().drop_derived(Shard(0)).await.unwrap();
    let third = owners(world.log()).await;
    assert!(third.submit(request).await.unwrap().repeated);
}

/// Stating what already holds appends no event, but its id is kept: a later repeat must not set the stock back.
// proves: ORD-1
pub async fn an_accepted_command_without_events_is_remembered<B: FreshLog>() {
    let world = World::<B>::new().await;
    let owners = owners(world.log()).await;
    owners.submit(command(set_stock(5))).await.unwrap();
    let request = command(set_stock(5)).repeatable(BODY);
    let unchanged = owners.submit(request.clone()).await.unwrap();
    assert_eq!((unchanged.events, unchanged.position.n), (0, 1));
    owners.submit(command(set_stock(9))).await.unwrap();
    let repeat = owners.submit(request).await.unwrap();
    assert!(repeat.repeated);
    assert_eq!(repeat.position, unchanged.position);
    assert_eq!(level(&owners).await, (9, 0, 2));
}
