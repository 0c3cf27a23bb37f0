//! Verifying: P8.

use domain::frame::{FrameView, Slot, Tail};
use domain::ports::log::EventLog;
use domain::position::{Position, Shard};
use infra::verify::{VerifyReport, verify_store};

use super::{LogFactory, SHARDS};
use crate::contract::chain::Chain;
use crate::faults::FaultyLog;

const SHARD: Shard = Shard(2);

/// Five frames in one shard, some in the others.
async fn fill(log: &dyn EventLog) -> Chain {
    for shard in (0..SHARDS).map(Shard).filter(|shard| *shard != SHARD) {
        let mut chain = Chain::new(log, shard);
        let stream = chain.stream();
        chain.decide(log, &[(&stream, 2)]).await;
    }
    let mut chain = Chain::new(log, SHARD);
    let (a, b) = (chain.stream(), chain.stream());
    for commands in [&[(&a, 2)][..], &[(&b, 1), (&a, 1)], &[(&a, 1), (&b, 1)], &[], &[(&b, 3)]] {
        chain.decide(log, commands).await;
    }
    chain
}

/// Three frames of two events, with their derived rows.
async fn fill_and_derive(log: &dyn EventLog) {
    let mut chain = Chain::new(log, SHARD);
    let stream = chain.stream();
    let mut frames = Vec::new();
    for _ in 0..3 {
        frames.push(chain.decide(log, &[(&stream, 2)]).await);
    }
    log.write_derived(SHARD, &frames).await.expect("rows");
}

async fn verify(log: &dyn EventLog) -> VerifyReport {
    verify_store(log, |_, _| {}).await.expect("a verification")
}

fn at(n: u64) -> Position {
    Position { shard: SHARD, n }
}

fn slot(frame: u64) -> Slot {
    Slot { shard: SHARD, frame }
}

async fn row(log: &dyn EventLog, frame: u64) -> Vec<u8> {
    log.read_slot(slot(frame)).await.expect("a read").expect("a row")
}

/// An empty store, and a full one.
// proves: P8, AUD-3
pub async fn a_sound_store_verifies_with_its_heads(factory: &impl LogFactory) {
    let log = factory.open().await;
    let empty = verify(&*log).await;
    assert!(empty.ok && empty.shards.len() == usize::from(SHARDS));
    assert!(empty.shards.iter().all(|shard| shard.head.n == 0 && shard.hash == [0; 32]));

    let chain = fill(&*log).await;
    let mut told = Vec::new();
    let report = verify_store(&*log, |shard, position| told.push((shard, position))).await.expect("a report");
    assert!(report.ok, "{report:?}");
    assert_eq!(report.shards[2].head, at(chain.tail.head()));
    assert_eq!(report.shards[2].hash, chain.tail.previous);
    assert!(told.contains(&(SHARD, at(chain.tail.head()))));

    let json = serde_json::to_value(&report).expect("a JSON form");
    assert_eq!(json["ok"], true);
    assert_eq!(json["first_fault"], serde_json::Value::Null);
    assert_eq!(json["shards"][2]["shard"], 2);
    assert_eq!(json["shards"][2]["head"], "2:9");
    assert_eq!(json["shards"][2]["hash"].as_str().map(str::len), Some(64));
}

/// A changed event is named itself; any other byte of a frame, by a position of that frame.
// proves: P8, AUD-3
pub async fn any_changed_byte_is_found_and_located(factory: &impl LogFactory) {
    let log = factory.open().await;
    fill(&*log).await;
    // Positions 5 and 6.
    let sound = row(&*log, 3).await;
    let view = FrameView::parse(&sound).expect("a frame");
    let spans: Vec<(std::ops::Range<usize>, u64)> = (5..)
        .zip(&view.events)
        .map(|(n, event)| {
            let start =
                sound.windows(event.len()).position(|window| window == *event).expect("the event's bytes");
            (start..start + event.len(), n)
        })
        .collect();
    assert_eq!(spans.len(), 2);
    for index in 0..sound.len() {
        let mut changed = sound.clone();
        changed[index] ^= 1 << (index % 8);
        factory.tamper(slot(3), Some(&changed)).await;
        let report = verify(&*log).await;
        assert!(!report.ok, "byte {index}");
        let fault = report.first_fault.expect("a fault");
        match spans.iter().find(|(span, _)| span.contains(&index)) {
            Some((_, n)) => assert_eq!(fault, at(*n), "byte {index}: {:?}", report.fault_reason),
            None => assert!((5..=6).contains(&fault.n) && fault.shard == SHARD, "byte {index}: {fault}"),
        }
        assert_eq!(report.shards[2].head, at(4), "the last frame that holds");
        assert_eq!(report.shards[3].head.n, 2, "shards after the fault are verified too");
    }
    factory.tamper(slot(3), Some(&sound)).await;
    assert!(verify(&*log).await.ok);
}

/// The first, one in the middle, and one without events.
// proves: P8, AUD-3
pub async fn a_dropped_frame_is_found_and_located(factory: &impl LogFactory) {
    for (frame, first) in [(1, 1), (2, 3), (4, 7)] {
        let log = factory.open().await;
        if log.read_slot(slot(1)).await == Ok(None) {
            fill(&*log).await;
        }
        let dropped = row(&*log, frame).await;
        factory.tamper(slot(frame), None).await;
        let report = verify(&*log).await;
        assert_eq!(report.first_fault, Some(at(first)), "frame {frame}: {:?}", report.fault_reason);
        factory.tamper(slot(frame), Some(&dropped)).await;
        assert!(verify(&*log).await.ok);
    }
}

/// Two frames with as many events each.
// proves: P8, AUD-3
pub async fn frames_that_changed_places_are_found_and_located(factory: &impl LogFactory) {
    let log = factory.open().await;
    fill(&*log).await;
    let (second, third) = (row(&*log, 2).await, row(&*log, 3).await);
    factory.tamper(slot(2), Some(&third)).await;
    factory.tamper(slot(3), Some(&second)).await;
    assert_eq!(verify(&*log).await.first_fault, Some(at(3)));
}

/// A frame that is sound in itself, in the place of another.
// proves: P8, AUD-3
pub async fn a_forged_frame_is_found_where_the_chain_breaks(factory: &impl LogFactory) {
    let log = factory.open().await;
    let mut chain = Chain::new(&*log, SHARD);
    let stream = chain.stream();
    chain.decide(&*log, &[(&stream, 2)]).await;
    // Sound in itself: only the frame after it tells.
    let forged = chain.proposal(&[(&stream, 2)]);
    chain.decide(&*log, &[(&stream, 2)]).await;
    chain.decide(&*log, &[(&stream, 1)]).await;
    factory.tamper(slot(2), Some(&forged.bytes)).await;
    assert_eq!(verify(&*log).await.first_fault, Some(at(5)));
}

/// Sound frames of an owner with a wrong state: a version again, and one left out; also in a frame after others.
// proves: P8, EVT-1
pub async fn versions_that_are_not_dense_are_found_and_located(factory: &impl LogFactory) {
    let log = factory.open().await;
    let mut chain = Chain::new(&*log, SHARD);
    let (a, b) = (chain.stream(), chain.stream());
    chain.decide(&*log, &[(&a, 2), (&b, 1)]).await;
    chain.decide(&*log, &[(&b, 1), (&a, 1)]).await;
    assert!(verify(&*log).await.ok);
    let mut confused = Chain::new(&*log, Shard(1));
    let other = confused.stream();
    // Version 1 is never decided.
    confused.advance(&confused.proposal(&[(&other, 1)]));
    confused.tail = Tail::empty(Shard(1));
    confused.decide(&*log, &[(&other, 1)]).await;
    let found = verify(&*log).await.first_fault;
    assert_eq!(found, Some(Position { shard: Shard(1), n: 1 }));
    factory.tamper(Slot { shard: Shard(1), frame: 1 }, None).await;
    let log = factory.reopen(log).await;

    let mut again = Chain::new(&*log, SHARD);
    again.tail = chain.tail.clone();
    // Version 1 of `a` once more, after three others.
    again.decide(&*log, &[(&chain.stream(), 1), (&a, 1)]).await;
    let report = verify(&*log).await;
    assert_eq!(report.first_fault, Some(at(7)), "{:?}", report.fault_reason);
}

/// The clock of an owner that didn't heed the events before it.
// proves: P8, EVT-1
pub async fn a_time_that_goes_back_is_found_and_located(factory: &impl LogFactory) {
    let log = factory.open().await;
    let mut chain = Chain::new(&*log, SHARD);
    let stream = chain.stream();
    chain.decide(&*log, &[(&stream, 2)]).await;
    chain.decide(&*log, &[(&stream, 1)]).await;
    assert!(verify(&*log).await.ok, "the same time is no fault");
    chain.time -= 1;
    chain.decide(&*log, &[(&stream, 1)]).await;
    let report = verify(&*log).await;
    assert_eq!(report.first_fault, Some(at(4)), "{:?}", report.fault_reason);
}

/// The log alone can't tell; derived rows can.
// proves: P8
pub async fn a_cut_tail_is_found_while_derived_rows_know_it(factory: &impl LogFactory) {
    let log = factory.open().await;
    fill_and_derive(&*log).await;
    assert!(verify(&*log).await.ok);
    factory.tamper(slot(3), None).await;
    let report = verify(&*log).await;
    assert_eq!(report.first_fault, Some(at(5)), "{:?}", report.fault_reason);
}

/// Rows are there before the checkpoint covers them; a verification beside a server may see that, and looks at the others only.
// proves: P8
pub async fn rows_that_are_just_being_derived_are_no_fault(factory: &impl LogFactory) {
    let log = factory.open().await;
    fill_and_derive(&*log).await;
    let early = FaultyLog::new(log.clone());
    early.early_progress(SHARD, 2, usize::MAX);
    let report = verify(&*early).await;
    assert!(report.ok, "{report:?}");
    assert_eq!(report.shards[2].head, at(6), "the log is verified to its end");
    // Rows that no frame of the log leads to are something else.
    let cut = row(&*log, 3).await;
    factory.tamper(slot(3), None).await;
    let report = verify(&*early).await;
    assert!(report.first_fault.is_some_and(|fault| fault.shard == SHARD && fault.n >= 4), "{report:?}");
    factory.tamper(slot(3), Some(&cut)).await;
    assert!(verify(&*early).await.ok);
}

/// Somebody writes all the time: a verification ends with what was decided when it began, and scans derived rows once for all shards.
// proves: P8, AUD-3
pub async fn a_verification_ends_while_the_log_grows(factory: &impl LogFactory) {
    let log = factory.open().await;
    fill_and_derive(&*log).await;
    let counted = FaultyLog::new(log.clone());
    let mut chain = Chain::new(&*log, Shard(3));
    let stream = chain.stream();
    let head = |report: &VerifyReport| report.shards[3].head.n;
    let verified = async {
        let mut reports: Vec<VerifyReport> = Vec::new();
        // Writing may be slower than verifying a small store.
        while reports.len() < 5 || head(&reports[0]) == head(&reports[reports.len() - 1]) {
            reports.push(verify(&*counted).await);
        }
        reports
    };
    let mut verified = std::pin::pin!(verified);
    let reports = loop {
        let write = async {
            let frame = chain.decide(&*log, &[(&stream, 3)]).await;
            log.write_derived(Shard(3), &[frame]).await.expect("rows");
        };
        tokio::select! {
            reports = &mut verified => break reports,
            () = write => {}
        }
    };
    assert!(reports.iter().all(|report| report.ok), "{reports:?}");
    assert!(reports.iter().map(head).is_sorted(), "{reports:?}");
    assert_eq!(counted.scans(), reports.len() as u64, "one scan each");
}

/// A verification goes on from where one ended: it reads what came since, and finds what is wrong there.
// proves: P8, AUD-3
pub async fn a_verification_goes_on_from_the_last_one(factory: &impl LogFactory) {
    let log = factory.open().await;
    let mut chain = Chain::new(&*log, SHARD);
    let (a, b) = (chain.stream(), chain.stream());
    let mut frames = Vec::new();
    for _ in 0..20 {
        frames.push(chain.decide(&*log, &[(&a, 2), (&b, 1)]).await);
    }
    log.write_derived(SHARD, &frames).await.expect("rows");
    let counted = FaultyLog::new(log.clone());
    let first = infra::verify::verify(&*counted, None, |_, _| {}).await.expect("a verification");
    assert!(first.report.ok && counted.frames_read() >= 20, "{first:?}");
    let through = first.through.expect("nothing is wrong");
    assert_eq!(through[2].position(), at(60));

    // Nothing came: next to nothing is read.
    let before = counted.frames_read();
    let again = infra::verify::verify(&*counted, Some(&through), |_, _| {}).await.expect("a verification");
    assert_eq!(again.report, first.report);
    assert!(counted.frames_read() - before <= 2, "{}", counted.frames_read() - before);
    assert_eq!(counted.scans(), 1, "the first one's");

    let frame = chain.decide(&*log, &[(&b, 1), (&chain.stream(), 1), (&a, 1)]).await;
    log.write_derived(SHARD, &[frame]).await.expect("rows");
    let before = counted.frames_read();
    let next = infra::verify::verify(&*counted, Some(&through), |_, _| {}).await.expect("a verification");
    assert!(next.report.ok, "{next:?}");
    assert_eq!(next.report.shards[2].head, at(63));
    assert_eq!(next.report, infra::verify::verify(&*log, None, |_, _| {}).await.expect("one").report);
    assert!(counted.frames_read() - before <= 3, "{}", counted.frames_read() - before);

    // Rows that are claimed, but not there.
    chain.decide(&*log, &[(&a, 1)]).await;
    counted.early_progress(SHARD, 22, 1);
    let missing = infra::verify::verify(&*counted, Some(&through), |_, _| {}).await.expect("a verification");
    assert_eq!(missing.report.first_fault, Some(at(64)), "{:?}", missing.report);
    assert_eq!(missing.through, None);
    // A frame that was changed since, the one that the first verification ended with, and a log that ends before it.
    let from_last = async || {
        infra::verify::verify(&*log, Some(&through), |_, _| {})
            .await
            .expect("a verification")
            .report
            .first_fault
    };
    let (last, newest) = (row(&*log, 20).await, row(&*log, 21).await);
    let mut changed = newest.clone();
    *changed.last_mut().expect("bytes") ^= 1;
    factory.tamper(slot(21), Some(&changed)).await;
    assert!(from_last().await.is_some_and(|fault| (61..=63).contains(&fault.n)));
    factory.tamper(slot(21), Some(&newest)).await;
    assert_eq!(from_last().await, None);
    let forged = {
        let mut other = Chain::new(&*log, SHARD);
        other.tail = tail_before(&last);
        other.proposal(&[(&a, 2), (&b, 1)])
    };
    factory.tamper(slot(20), Some(&forged.bytes)).await;
    assert!(from_last().await.is_some());
    factory.tamper(slot(20), Some(&last)).await;
    assert_eq!(from_last().await, None);
}

/// The tail that a frame followed.
fn tail_before(bytes: &[u8]) -> Tail {
    let header = FrameView::parse(bytes).expect("a frame").header;
    let (slot, next_position) = (header.slot, header.first_position);
    Tail { slot, next_position, previous: header.previous, epoch: header.epoch }
}
