use proptest::prelude::*;

use super::*;
use crate::Timestamp;
use crate::event::{EventMeta, NewEvent, encode_event};
use crate::stream::StreamId;
use crate::verify::{Fault, verify_frame};

fn id(n: u8) -> Uuid {
    Uuid::from_u128(0x0195_0000_0000_7000_8000_0000_0000_0000 + u128::from(n))
}

const STORE: u8 = 0xa0;
const NONCE: u8 = 0xb0;

fn event(n: u8, stream: (&str, &str), version: u64, new: &NewEvent, actor: &str) -> Vec<u8> {
    let stream = StreamId::new("default", stream.0, stream.1);
    let meta = EventMeta {
        id: id(n),
        time: Timestamp::from_timestamp_micros(1_735_689_600_000_000 + i64::from(n)).unwrap(),
        stream: &stream,
        version,
        correlation_id: id(0xc0),
        causation_id: id(0xc1),
        actor,
    };
    let mut bytes = Vec::new();
    encode_event(&meta, new, &mut bytes);
    bytes
}

fn new_event(event_type: &'static str, schema_version: u16, data: &str) -> NewEvent {
    NewEvent { event_type: event_type.into(), schema_version, data: data.to_owned() }
}

fn events() -> Vec<Vec<u8>> {
    let reserved = new_event("order.stock_reserved", 1, "{}");
    let created = new_event("product.created", 2, r#"{"name":"Zürich"}"#);
    vec![
        event(1, ("order", "o-1"), 1, &reserved, "saga:fulfilment"),
        event(2, ("product", "p-1"), 300, &created, "user:u-1"),
    ]
}

fn record() -> CommandRecord {
    CommandRecord {
        id: CommandId(id(0xd0)),
        body_hash: [7; 32],
        first_event: 1,
        events: 1,
        answer: br#"{"id":"p-1"}"#.to_vec(),
    }
}

/// A record of all of these events.
fn within(events: &[Vec<u8>]) -> CommandRecord {
    CommandRecord { first_event: 0, events: events.len() as u64, ..record() }
}

fn tail() -> Tail {
    Tail { slot: Slot { shard: Shard(5), frame: 2 }, next_position: 4, previous: [9; 32], epoch: 2 }
}

fn frame() -> EncodedFrame {
    encode_frame(id(STORE), &tail(), 3, id(NONCE), &events(), &[record()])
}

/// The frame that follows `tail` and holds one event.
fn next(tail: &Tail, epoch: u64, n: u8) -> EncodedFrame {
    let new = new_event("order.stock_reserved", 1, "{}");
    encode_frame(id(STORE), tail, epoch, id(n), &[event(n, ("order", "o-1"), 1, &new, "system:test")], &[])
}

fn check(tail: &Tail, bytes: &[u8]) -> Result<Tail, Fault> {
    verify_frame(id(STORE), tail, bytes)
}

/// Where a part of `bytes` stands in it.
fn range(bytes: &[u8], part: &[u8]) -> std::ops::Range<usize> {
    let start = part.as_ptr() as usize - bytes.as_ptr() as usize;
    start..start + part.len()
}

/// The file was written from the documented format by another program, so it holds the documentation to the code. It never
/// changes: the stored format is frozen.
#[test]
fn the_stored_form_is_frozen() {
    let golden = include_str!("../../tests/golden/frame-1.hex").replace('\n', "");
    let frame = frame();
    assert_eq!(hex::encode(&frame.bytes), golden);
    assert_eq!(hex::encode(frame.hash), "6da3364d9d2ba2a5e2199818e8ab02011189555a0b6fdbafca990a7e704bdb17");
}

#[test]
fn a_frame_reads_back_as_it_was_written() {
    let frame = frame();
    let decided = DecidedFrame::decode(&frame.bytes).unwrap();
    assert_eq!((&decided.header, decided.hash), (&frame.header, frame.hash));
    assert_eq!(decided.commands, [record()]);
    let positions: Vec<String> = decided.events.iter().map(|event| event.position.to_string()).collect();
    assert_eq!(positions, ["5:4", "5:5"]);
    assert_eq!(decided.events[1].data, r#"{"name":"Zürich"}"#);
    assert_eq!(check(&tail(), &frame.bytes), Ok(Tail::after(&frame.header, frame.hash)));
    assert_eq!(frame.header.last_position(), 5);
}

// proves: P8
#[test]
fn every_flipped_bit_is_found_and_a_changed_event_is_named() {
    let frame = frame();
    let view = FrameView::parse(&frame.bytes).unwrap();
    let events: Vec<_> = view.events.iter().map(|event| range(&frame.bytes, event)).collect();
    for at in 0..frame.bytes.len() {
        for bit in 0..8 {
            let mut changed = frame.bytes.clone();
            changed[at] ^= 1 << bit;
            let fault = check(&tail(), &changed).expect_err(&format!("bit {bit} of byte {at}"));
            let first = frame.header.first_position;
            if let Some(index) = events.iter().position(|range| range.contains(&at)) {
                assert_eq!(fault.position.n, first + index as u64, "bit {bit} of byte {at}: {fault}");
            }
            assert!((first..=frame.header.last_position()).contains(&fault.position.n), "{fault}");
            assert_eq!(fault.position.shard, Shard(5));
        }
    }
}

// proves: P8
#[test]
fn a_cut_or_lengthened_frame_is_found() {
    let frame = frame();
    for length in 0..frame.bytes.len() {
        assert!(check(&tail(), &frame.bytes[..length]).is_err(), "{length} bytes");
    }
    assert!(check(&tail(), &[&frame.bytes[..], &[0]].concat()).is_err());
}

// proves: P8
#[test]
fn a_dropped_repeated_or_foreign_frame_is_found() {
    let start = Tail::empty(Shard(0));
    let one = next(&start, 1, 1);
    let after_one = check(&start, &one.bytes).unwrap();
    let two = next(&after_one, 1, 2);
    let after_two = check(&after_one, &two.bytes).unwrap();
    let three = next(&after_two, 1, 3);
    assert!(check(&after_two, &three.bytes).is_ok());

    let named = |result: Result<Tail, Fault>| result.unwrap_err().position.to_string();
    assert_eq!(named(check(&start, &two.bytes)), "0:1");
    assert_eq!(named(check(&after_one, &three.bytes)), "0:2");
    assert_eq!(named(check(&after_one, &one.bytes)), "0:2");
    assert!(verify_frame(id(0xff), &start, &one.bytes).is_err());
    // A whole frame made anew holds by itself, but the one after it doesn't follow it.
    let forged = next(&after_one, 1, 9);
    let after_forged = check(&after_one, &forged.bytes).unwrap();
    assert_eq!(named(check(&after_forged, &three.bytes)), "0:3");
}

// proves: P4
#[test]
fn a_frame_whose_epoch_went_back_is_illegal() {
    let start = Tail::empty(Shard(0));
    let fence = encode_frame(id(STORE), &start, 4, id(NONCE), &[], &[]);
    let after = check(&start, &fence.bytes).unwrap();
    assert_eq!((after.slot.frame, after.next_position, after.epoch), (2, 1, 4));
    assert!(check(&after, &next(&after, 4, 1).bytes).is_ok());
    assert!(check(&after, &next(&after, 3, 1).bytes).unwrap_err().reason.contains("epoch"));
}

/// A frame that is whole in itself, but made for another place.
// proves: P8
#[test]
fn a_frame_in_the_wrong_place_is_found() {
    let reason = |made_for: Tail| check(&tail(), &next(&made_for, 3, 1).bytes).map_err(|fault| fault.reason);
    let slot = tail().slot;
    assert!(reason(tail()).is_ok());
    for other in [Slot { frame: 3, ..slot }, Slot { shard: Shard(6), ..slot }] {
        assert!(
            reason(Tail { slot: other, ..tail() }).unwrap_err().contains("not the one that belongs here")
        );
    }
    for next_position in [3, 5] {
        assert!(reason(Tail { next_position, ..tail() }).unwrap_err().contains("not dense"));
    }
    assert!(reason(Tail { previous: [8; 32], ..tail() }).unwrap_err().contains("doesn't follow"));
}

/// Whoever changes an event and its leaf, too, can't change the root without changing the hash.
// proves: P8
#[test]
fn an_event_changed_together_with_its_leaf_is_found() {
    let frame = frame();
    let view = FrameView::parse(&frame.bytes).unwrap();
    let (at, leaf) = (range(&frame.bytes, view.events[1]), view.leaves[1]);
    let mut changed = frame.bytes.clone();
    changed[at.end - 3] ^= 1;
    let forged = merkle::event_leaf(&changed[at]);
    let stated = changed.windows(32).position(|window| window == leaf).unwrap();
    changed[stated..stated + 32].copy_from_slice(&forged);
    let fault = check(&tail(), &changed).unwrap_err();
    assert!(fault.reason.contains("root"), "{fault}");
}

/// Swapping events inside a frame moves their leaves, too.
// proves: P8
#[test]
fn reordered_events_are_found() {
    let frame = frame();
    let swapped: Vec<_> = events().into_iter().rev().collect();
    let other = encode_frame(id(STORE), &tail(), 3, id(NONCE), &swapped, &[record()]);
    assert_ne!(other.hash, frame.hash);
    let after = check(&tail(), &frame.bytes).unwrap();
    let follower = next(&after, 3, 1);
    let after_swap = check(&tail(), &other.bytes).unwrap();
    assert_eq!(check(&after_swap, &follower.bytes).unwrap_err().position.to_string(), "5:6");
}

fn never_panics(bytes: &[u8]) {
    // Whether it reads is beside the point.
    drop(FrameView::parse(bytes));
    drop(DecidedFrame::decode(bytes));
    drop(RecordedEvent::decode(bytes, Position { shard: Shard(0), n: 1 }));
    drop(CommandRecord::decode(bytes));
    drop(check(&tail(), bytes));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        never_panics(&bytes);
        never_panics(&[MAGIC, &bytes[..]].concat());
    }

    // proves: P8
    #[test]
    fn an_overwritten_frame_never_panics_nor_passes(
        start in any::<prop::sample::Index>(),
        patch in prop::collection::vec(any::<u8>(), 1..40),
        removed in 0..40_usize,
    ) {
        let frame = frame();
        let start = start.index(frame.bytes.len());
        let end = (start + removed).min(frame.bytes.len());
        let mut changed = frame.bytes.clone();
        changed.splice(start..end, patch);
        never_panics(&changed);
        prop_assert!(changed == frame.bytes || check(&tail(), &changed).is_err());
    }

    #[test]
    fn any_frame_reads_back(
        payloads in prop::collection::vec(".{0,200}", 0..20),
        answers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
        version in 1..u64::MAX,
    ) {
        let events: Vec<Vec<u8>> = payloads
            .iter()
            .map(|data| event(1, ("order", "o"), version, &new_event("order.placed", u16::MAX, data), "system:test"))
            .collect();
        let records: Vec<CommandRecord> =
            answers.into_iter().map(|answer| CommandRecord { answer, ..within(&events) }).collect();
        let frame = encode_frame(id(STORE), &tail(), 3, id(NONCE), &events, &records);
        prop_assert!(check(&tail(), &frame.bytes).is_ok());
        let decided = DecidedFrame::decode(&frame.bytes).unwrap();
        prop_assert_eq!(&decided.header, &frame.header);
        prop_assert_eq!(decided.commands, records);
        prop_assert!(decided.events.iter().map(|event| &event.data).eq(&payloads));
        prop_assert!(decided.events.iter().all(|event| event.version == version));
    }
}
