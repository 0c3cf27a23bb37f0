//! Reading decided frames.

use std::sync::Arc;

use domain::ports::log::Decision;
use domain::position::{Position, Shard};

use super::LogFactory;
use crate::contract::chain::Chain;

/// Pages of any size put together are the shard's frames.
// proves: P2
pub async fn pages_have_no_hole_and_keep_the_order(factory: &impl LogFactory) {
    let log = factory.open().await;
    let (mut chain, mut neighbour) = (Chain::new(&*log, Shard(1)), Chain::new(&*log, Shard(2)));
    let mut expected = Vec::new();
    for n in 0..60_u64 {
        let stream = chain.stream();
        let frame = chain.proposal(&[(&stream, n % 5), (&stream, n % 2)]);
        chain.advance(&frame);
        expected.push(frame.bytes.clone());
        assert_eq!(log.propose(Arc::new(frame)).await, Ok(Decision::Decided));
        neighbour.decide(&*log, &[]).await;
    }
    for (limit, max_bytes) in [(7, usize::MAX), (1, usize::MAX), (100, 1), (100, 2000), (100, usize::MAX)] {
        let (mut all, mut from) = (Vec::new(), 1);
        loop {
            let page = log.read_frames(Shard(1), from, limit, max_bytes).await.expect("a page");
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            let size: usize = page.iter().map(Vec::len).sum();
            assert!(page.len() == 1 || size <= max_bytes.saturating_add(4096), "{size} of {max_bytes} bytes");
            from += page.len() as u64;
            all.extend(page);
        }
        assert_eq!(all, expected, "pages of {limit} frames and {max_bytes} bytes");
    }
    assert_eq!(log.read_frames(Shard(3), 1, 10, usize::MAX).await, Ok(Vec::new()));
    assert_eq!(log.read_frames(Shard(1), 1000, 10, usize::MAX).await, Ok(Vec::new()));
}

/// Also around frames without events.
// proves: P2
pub async fn every_position_leads_to_its_frame(factory: &impl LogFactory) {
    let log = factory.open().await;
    let mut chain = Chain::new(&*log, Shard(0));
    let at = |n| Position { shard: Shard(0), n };
    assert_eq!(log.frame_of_position(at(1)).await, Ok(1), "the tail of an empty shard");
    let stream = chain.stream();
    let mut expected = Vec::new();
    // With fences at the beginning, in the middle and at the end.
    for events in [0, 0, 3, 1, 0, 2, 0, 0, 5, 1, 1, 0] {
        let frame = chain.decide(&*log, &[(&stream, events)]).await;
        expected.extend(frame.events.iter().map(|event| (event.position, frame.header.slot.frame)));
    }
    for (position, frame) in expected {
        assert_eq!(log.frame_of_position(position).await, Ok(frame), "{position}");
    }
    for beyond in [chain.tail.next_position, chain.tail.next_position + 100, u64::MAX] {
        assert_eq!(log.frame_of_position(at(beyond)).await, Ok(chain.tail.slot.frame), "{beyond}");
    }
    assert_eq!(log.frame_of_position(Position { shard: Shard(1), n: 7 }).await, Ok(1));
}

/// The largest frame that an owner makes, and a little more.
// proves: P2
pub async fn frames_of_a_mebibyte_come_back_as_they_were(factory: &impl LogFactory) {
    let log = factory.open().await;
    let mut chain = Chain::new(&*log, Shard(2)).padded(128 << 10);
    let mut expected = Vec::new();
    for events in [8, 9, 1] {
        let stream = chain.stream();
        let frame = chain.proposal(&[(&stream, events)]);
        chain.advance(&frame);
        expected.push(frame.bytes.clone());
        assert_eq!(log.propose(Arc::new(frame)).await, Ok(Decision::Decided));
    }
    assert_eq!(log.read_frames(Shard(2), 1, 10, usize::MAX).await.expect("a page"), expected);
    let page = log.read_frames(Shard(2), 1, 10, 1 << 20).await.expect("a page");
    assert_eq!(page, expected[..1]);
}

/// What was decided outlives the process, and so does the identity of the store.
// proves: P1, P2
pub async fn a_store_opened_again_holds_everything(factory: &impl LogFactory) {
    let log = factory.open().await;
    let store = log.store();
    assert_eq!(store.shards, super::SHARDS);
    let mut chain = Chain::new(&*log, Shard(3));
    let stream = chain.stream();
    chain.decide(&*log, &[(&stream, 2)]).await;
    let before = log.read_frames(Shard(3), 1, 10, usize::MAX).await.expect("a page");

    let log = factory.reopen(log).await;
    assert_eq!(log.store(), store);
    assert_eq!(log.read_frames(Shard(3), 1, 10, usize::MAX).await, Ok(before));
    chain.decide(&*log, &[(&stream, 1)]).await;
    assert_eq!(log.frame_of_position(Position { shard: Shard(3), n: 3 }).await, Ok(2));
}
