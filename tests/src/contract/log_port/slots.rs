//! Deciding slots: P1 to P3.

use std::sync::Arc;

use domain::frame::{EncodedFrame, Slot};
use domain::ports::log::{Decision, ProposeError, StoreInfo};
use domain::position::Shard;
use futures::future::join_all;
use uuid::Uuid;

use super::{LogFactory, SHARDS};
use crate::contract::chain::Chain;

/// Eight proposals at once for one slot: one is decided, and all others get its row.
// proves: P1
pub async fn rivals_for_a_slot_decide_it_once(factory: &impl LogFactory) {
    let log = factory.open().await;
    let mut chain = Chain::new(&*log, Shard(0));
    for round in 1..=10_u64 {
        let stream = chain.stream();
        let rivals: Vec<Arc<EncodedFrame>> =
            (0..8).map(|n| Arc::new(chain.proposal(&[(&stream, n % 3)]))).collect();
        let outcomes = join_all(rivals.iter().map(|frame| {
            let (log, frame) = (log.clone(), frame.clone());
            async move { tokio::spawn(async move { log.propose(frame).await }).await.expect("no panic") }
        }));
        let outcomes = outcomes.await;
        let winners: Vec<usize> = (0..8).filter(|i| outcomes[*i] == Ok(Decision::Decided)).collect();
        let [winner] = winners[..] else { panic!("round {round}: not one winner but {winners:?}") };
        for (index, outcome) in outcomes.into_iter().enumerate().filter(|(index, _)| *index != winner) {
            assert_eq!(
                outcome,
                Ok(Decision::Taken(rivals[winner].bytes.clone())),
                "round {round}, rival {index}"
            );
        }
        let row = log.read_slot(chain.tail.slot).await.expect("a read");
        assert_eq!(row.as_ref(), Some(&rivals[winner].bytes));
        chain.advance(&rivals[winner]);
    }
}

/// A proposal whose answer was lost is sent again, however late.
// proves: P3
pub async fn identical_bytes_sent_again_are_decided(factory: &impl LogFactory) {
    let log = factory.open().await;
    let mut chain = Chain::new(&*log, Shard(1));
    let stream = chain.stream();
    let frame = Arc::new(chain.proposal(&[(&stream, 2)]));
    // At the same time, one after the other, behind later frames, and after a restart.
    let outcomes = join_all((0..6).map(|_| log.propose(frame.clone()))).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Ok(Decision::Decided)), "{outcomes:?}");
    assert_eq!(log.propose(frame.clone()).await, Ok(Decision::Decided));
    chain.advance(&frame);
    chain.decide(&*log, &[(&stream, 1)]).await;
    assert_eq!(log.propose(frame.clone()).await, Ok(Decision::Decided));
    let log = factory.reopen(log).await;
    assert_eq!(log.propose(frame).await, Ok(Decision::Decided));
    assert_eq!(log.read_frames(Shard(1), 1, 10, usize::MAX).await.expect("a read").len(), 2);
}

/// Who comes second learns what stands in the slot.
// proves: P1, P3
pub async fn a_taken_slot_answers_with_its_row(factory: &impl LogFactory) {
    let log = factory.open().await;
    let chain = Chain::new(&*log, Shard(2));
    let stream = chain.stream();
    let (first, other) =
        (Arc::new(chain.proposal(&[(&stream, 1)])), Arc::new(chain.proposal(&[(&stream, 1)])));
    assert_eq!(log.propose(first.clone()).await, Ok(Decision::Decided));
    let taken = Ok(Decision::Taken(first.bytes.clone()));
    assert_eq!(log.propose(other.clone()).await, taken);
    let log = factory.reopen(log).await;
    assert_eq!(log.propose(other).await, taken);
}

/// A slot whose predecessor is empty stays empty.
// proves: P2
pub async fn a_frame_that_would_leave_a_hole_is_not_written(factory: &impl LogFactory) {
    let log = factory.open().await;
    let mut chain = Chain::new(&*log, Shard(0));
    let stream = chain.stream();
    let frames: Vec<Arc<EncodedFrame>> = (0..3)
        .map(|_| {
            let frame = chain.proposal(&[(&stream, 1)]);
            chain.advance(&frame);
            Arc::new(frame)
        })
        .collect();
    for early in [&frames[2], &frames[1]] {
        let outcome = log.propose(early.clone()).await;
        assert!(matches!(outcome, Err(ProposeError::NotWritten(_))), "{outcome:?}");
        assert_eq!(log.read_slot(early.header.slot).await, Ok(None));
    }
    for frame in frames {
        assert_eq!(log.propose(frame).await, Ok(Decision::Decided));
    }
}

/// Shards don't disturb each other.
// proves: P1, P2
pub async fn frames_of_many_shards_are_decided_at_once(factory: &impl LogFactory) {
    const FRAMES: usize = 40;
    let log = factory.open().await;
    let owners = (0..SHARDS).map(|n| {
        let log = log.clone();
        tokio::spawn(async move {
            let mut chain = Chain::new(&*log, Shard(n));
            for _ in 0..FRAMES {
                let stream = chain.stream();
                chain.decide(&*log, &[(&stream, 2)]).await;
            }
            chain.tail
        })
    });
    for owner in join_all(owners).await {
        let tail = owner.expect("no panic");
        let frames = log.read_frames(tail.slot.shard, 1, 1000, usize::MAX).await.expect("a read");
        assert_eq!(frames.len(), FRAMES);
        assert_eq!(log.read_slot(tail.slot).await, Ok(None));
    }
}

/// A backend that let another store's frames in could not be verified any more.
// proves: P8
pub async fn a_frame_of_another_store_is_not_written(factory: &impl LogFactory) {
    let log = factory.open().await;
    let chain = Chain::new(&*log, Shard(0));
    let frame = chain.proposal(&[(&chain.stream(), 1)]);
    let StoreInfo { shards, .. } = log.store();
    let mut foreign = frame.clone();
    foreign.header.store = Uuid::new_v4();
    let mut beyond = frame;
    beyond.header.slot.shard = Shard(shards);
    for frame in [foreign, beyond] {
        let outcome = log.propose(Arc::new(frame)).await;
        assert!(matches!(outcome, Err(ProposeError::NotWritten(_))), "{outcome:?}");
    }
    assert_eq!(log.read_slot(chain.tail.slot).await, Ok(None));
}

/// What a serial read said doesn't change any more, unless somebody proposes again.
// proves: P3
pub async fn a_serial_read_sees_what_was_proposed_before(factory: &impl LogFactory) {
    let log = factory.open().await;
    let mut chain = Chain::new(&*log, Shard(3));
    let stream = chain.stream();
    let empty = Slot { shard: Shard(3), frame: 1 };
    assert_eq!(log.read_slot(empty).await, Ok(None));
    for _ in 0..20 {
        let frame = Arc::new(chain.proposal(&[(&stream, 1)]));
        chain.advance(&frame);
        // The caller stops waiting right after it sent its proposal: it may land or not, but a read that comes later settles it.
        let proposal = log.propose(frame.clone());
        tokio::select! {
            biased;
            outcome = proposal => assert_eq!(outcome, Ok(Decision::Decided)),
            () = std::future::ready(()) => {}
        }
        let row = log.read_slot(frame.header.slot).await.expect("a read");
        tokio::task::yield_now().await;
        assert_eq!(
            log.read_slot(frame.header.slot).await.expect("a read"),
            row,
            "what a serial read said changed"
        );
        assert_eq!(log.propose(frame.clone()).await, Ok(Decision::Decided));
    }
}
