//! Derived rows: P5 and P6.

use std::sync::Arc;

use domain::aggregate::SnapshotState;
use domain::command::CommandId;
use domain::frame::DecidedFrame;
use domain::ports::log::{EventLog, LogError, Progress, StoredSnapshot};
use domain::position::Shard;
use domain::stream::StreamId;

use super::LogFactory;
use crate::contract::chain::Chain;

async fn derive(log: &dyn EventLog, shard: Shard, frames: &[Arc<DecidedFrame>]) -> Result<(), LogError> {
    log.write_derived(shard, frames).await
}

async fn must_derive(log: &dyn EventLog, shard: Shard, frames: &[Arc<DecidedFrame>]) {
    derive(log, shard, frames).await.expect("rows to be written");
}

/// Frames of two streams, of fences and of commands that changed nothing.
async fn decide_some(log: &dyn EventLog, shard: Shard) -> (Vec<Arc<DecidedFrame>>, [StreamId; 2]) {
    let mut chain = Chain::new(log, shard);
    let streams = [chain.stream(), chain.stream()];
    let [a, b] = &streams;
    let mut frames = Vec::new();
    for commands in [&[(a, 2), (b, 1)][..], &[], &[(b, 3), (a, 0), (a, 1)], &[(a, 0)], &[(a, 4)], &[(b, 1)]] {
        frames.push(chain.decide(log, commands).await);
    }
    (frames, streams)
}

/// The events of a stream in the frames.
fn events_of(frames: &[Arc<DecidedFrame>], stream: &StreamId) -> Vec<domain::event::RecordedEvent> {
    let events = frames.iter().flat_map(|frame| &frame.events);
    events.filter(|event| event.stream == *stream).map(|event| (**event).clone()).collect()
}

/// A stream is read by its versions, from any of them on.
// proves: P5
pub async fn streams_are_read_from_derived_rows(factory: &impl LogFactory) {
    let log = factory.open().await;
    let shard = Shard(1);
    let (frames, streams) = decide_some(&*log, shard).await;
    assert_eq!(log.read_stream(&streams[0], 0, 100).await, Ok(Vec::new()), "no rows yet");
    must_derive(&*log, shard, &frames).await;
    let log = factory.reopen(log).await;
    for stream in &streams {
        let expected = events_of(&frames, stream);
        assert_eq!(log.read_stream(stream, 0, 100).await.as_ref(), Ok(&expected));
        assert_eq!(log.read_stream(stream, 0, 0).await, Ok(Vec::new()));
        assert_eq!(log.read_stream(stream, 1, 2).await, Ok(expected[1..3].to_vec()));
        assert_eq!(log.read_stream(stream, expected.len() as u64, 5).await, Ok(Vec::new()));
        assert_eq!(log.read_stream(stream, u64::MAX, 5).await, Ok(Vec::new()));
    }
    let stranger = StreamId::new("another", streams[0].kind(), streams[0].id());
    assert_eq!(log.read_stream(&stranger, 0, 5).await, Ok(Vec::new()), "another tenant's");
}

/// Batches that overlap, repeat or are empty.
// proves: P5
pub async fn writing_rows_again_changes_nothing(factory: &impl LogFactory) {
    let log = factory.open().await;
    let shard = Shard(0);
    let (frames, _) = decide_some(&*log, shard).await;
    must_derive(&*log, shard, &frames[..3]).await;
    must_derive(&*log, shard, &frames[1..4]).await;
    must_derive(&*log, shard, &frames).await;
    let (digest, progress) = (log.derived_digest(shard).await, log.progress(shard).await);
    for again in [&frames[..], &frames[..1], &frames[2..4], &[]] {
        must_derive(&*log, shard, again).await;
        assert_eq!(
            (log.derived_digest(shard).await, log.progress(shard).await),
            (digest.clone(), progress.clone())
        );
    }
}

/// A batch with a hole is refused as a whole.
// proves: P6
pub async fn rows_follow_each_other_without_a_hole(factory: &impl LogFactory) {
    let log = factory.open().await;
    let shard = Shard(2);
    let (frames, streams) = decide_some(&*log, shard).await;
    must_derive(&*log, shard, &frames[..1]).await;
    let digest = log.derived_digest(shard).await;
    // A hole before the batch, a hole in it, and the frames of another shard.
    let gap = [frames[1].clone(), frames[3].clone()];
    for (at, batch) in [(shard, &frames[2..]), (shard, &gap[..]), (Shard(3), &frames[..1])] {
        assert!(derive(&*log, at, batch).await.is_err());
        assert_eq!(log.progress(shard).await.map(|p| p.derived_through), Ok(1));
        assert_eq!(log.progress(Shard(3)).await, Ok(Progress::default()));
        assert_eq!(log.derived_digest(shard).await, digest, "a refused batch leaves nothing");
    }
    assert_eq!(log.read_stream(&streams[0], 0, 100).await.map(|events| events.len()), Ok(2));
    must_derive(&*log, shard, &frames[1..]).await;
}

/// Whatever batches they are written in.
// proves: P5
pub async fn rows_dropped_and_written_again_are_identical(factory: &impl LogFactory) {
    let log = factory.open().await;
    let (shard, neighbour) = (Shard(0), Shard(1));
    let (frames, streams) = decide_some(&*log, shard).await;
    let (others, _) = decide_some(&*log, neighbour).await;
    let empty = log.derived_digest(shard).await;
    must_derive(&*log, neighbour, &others).await;
    must_derive(&*log, shard, &frames[..2]).await;
    let partial = log.derived_digest(shard).await;
    must_derive(&*log, shard, &frames[2..]).await;
    let (full, beside) = (log.derived_digest(shard).await, log.derived_digest(neighbour).await);
    assert_ne!(empty, partial);
    assert_ne!(partial, full);
    assert_ne!(full, beside);

    log.drop_derived(shard).await.expect("rows to be dropped");
    assert_eq!(log.derived_digest(shard).await, empty);
    assert_eq!(log.progress(shard).await.map(|p| p.derived_through), Ok(0));
    assert_eq!(log.read_stream(&streams[0], 0, 10).await, Ok(Vec::new()));
    assert_eq!(log.derived_digest(neighbour).await, beside, "another shard's rows stay");

    // One by one, after a restart, and from the stored bytes instead of what the owner had.
    let log = factory.reopen(log).await;
    for bytes in log.read_frames(shard, 1, 100, usize::MAX).await.expect("a page") {
        let frame = Arc::new(DecidedFrame::decode(&bytes).expect("a frame"));
        must_derive(&*log, shard, &[frame]).await;
    }
    assert_eq!(log.derived_digest(shard).await, full);
}

/// Two events with one version are an owner's fault, which derived rows must not hide.
// proves: P5
pub async fn a_pointer_never_changes(factory: &impl LogFactory) {
    let log = factory.open().await;
    let shard = Shard(3);
    let mut chain = Chain::new(&*log, shard);
    let stream = chain.stream();
    let first = chain.decide(&*log, &[(&stream, 1)]).await;
    // An owner with a wrong state gives version 1 of the same stream again.
    let mut confused = Chain::new(&*log, shard);
    confused.tail = chain.tail.clone();
    let second = confused.decide(&*log, &[(&stream, 1)]).await;
    must_derive(&*log, shard, std::slice::from_ref(&first)).await;
    let digest = log.derived_digest(shard).await;
    let refused = derive(&*log, shard, &[second]).await;
    assert!(matches!(refused, Err(LogError::Corrupt(..))), "{refused:?}");
    assert_eq!(log.derived_digest(shard).await, digest);
    assert_eq!(log.progress(shard).await.map(|p| p.derived_through), Ok(1));
    assert_eq!(log.read_stream(&stream, 0, 10).await, Ok(events_of(&[first], &stream)));
}

/// A repeat gets the frame's own record, and the position that its answer names.
// proves: P5
pub async fn accepted_commands_are_found_with_their_position(factory: &impl LogFactory) {
    let log = factory.open().await;
    let shard = Shard(2);
    let (frames, _) = decide_some(&*log, shard).await;
    must_derive(&*log, shard, &frames).await;
    let log = factory.reopen(log).await;
    for frame in &frames {
        for record in &frame.commands {
            let found = log.command_result(shard, record.id).await.expect("a read").expect("a result");
            assert_eq!((found.frame, &found.record), (frame.header.slot.frame, record));
            let n = match record.events {
                0 => frame.header.last_position(),
                events => frame.header.first_position + record.first_event + events - 1,
            };
            assert_eq!(found.position.n, n, "frame {}", found.frame);
            assert_eq!(found.position.shard, shard);
            assert_eq!(log.command_result(Shard(0), record.id).await, Ok(None), "of another shard");
        }
    }
    assert_eq!(log.command_result(shard, CommandId::fresh()).await, Ok(None));
}

/// A snapshot never goes back, and goes with the derived rows.
// proves: P5
pub async fn the_latest_snapshot_is_kept(factory: &impl LogFactory) {
    let log = factory.open().await;
    let shard = Shard(0);
    let (frames, [stream, other]) = decide_some(&*log, shard).await;
    must_derive(&*log, shard, &frames).await;
    assert_eq!(log.read_snapshots(&stream).await, Ok(Vec::new()));
    for (written, kept) in [(2, 2), (5, 5), (3, 5)] {
        log.write_snapshots(shard, &[(stream.clone(), snapshot(1, written))]).await.expect("kept");
        assert_eq!(log.read_snapshots(&stream).await, Ok(vec![snapshot(1, kept)]));
    }
    assert_eq!(log.read_snapshots(&other).await, Ok(Vec::new()));
    let log = factory.reopen(log).await;
    assert_eq!(log.read_snapshots(&stream).await, Ok(vec![snapshot(1, 5)]));
    log.drop_derived(shard).await.expect("rows to be dropped");
    assert_eq!(log.read_snapshots(&stream).await, Ok(Vec::new()));
}

/// Two programs take turns: each finds its own; what a third one's and later ones of theirs supersede is deleted.
// proves: P5, OPS-12
pub async fn each_fold_finds_its_own_snapshot_and_superseded_ones_go(factory: &impl LogFactory) {
    let log = factory.open().await;
    let shard = Shard(0);
    let (frames, [stream, _]) = decide_some(&*log, shard).await;
    must_derive(&*log, shard, &frames).await;
    let written = [
        ((1, 2), vec![(1, 2)]),
        ((2, 3), vec![(2, 3), (1, 2)]),
        // Taken back: it goes on with its own.
        ((1, 4), vec![(1, 4), (2, 3)]),
        ((2, 5), vec![(2, 5), (1, 4)]),
        // Rolled out again, as a third one.
        ((3, 6), vec![(3, 6), (2, 5)]),
    ];
    for ((fold, version), kept) in written {
        log.write_snapshots(shard, &[(stream.clone(), snapshot(fold, version))]).await.expect("kept");
        let kept: Vec<_> = kept.into_iter().map(|(fold, version)| snapshot(fold, version)).collect();
        assert_eq!(log.read_snapshots(&stream).await, Ok(kept), "after {version} of {fold}");
    }
}

fn snapshot(fold: u8, version: u64) -> StoredSnapshot {
    let contents = SnapshotState { state: format!("{{\"version\":{version}}}"), fold: [version as u8; 32] };
    StoredSnapshot {
        version,
        created_at: 1_700_000_000_000_000,
        updated_at: 1_700_000_000_000_000 + i64::try_from(version).unwrap_or_default(),
        contents: contents.stored_as([fold; 16]),
    }
}

/// Progress grows with what is written, and never goes back.
// proves: P6
pub async fn progress_claims_only_finished_work(factory: &impl LogFactory) {
    let log = factory.open().await;
    let shard = Shard(1);
    let (frames, _) = decide_some(&*log, shard).await;
    assert_eq!(log.progress(shard).await, Ok(Progress::default()));
    for (index, frame) in (1..).zip(&frames) {
        must_derive(&*log, shard, std::slice::from_ref(frame)).await;
        let progress = log.progress(shard).await.expect("a read");
        assert_eq!((progress.derived_through, progress.tail_hint), (index, index));
        // What is claimed is there.
        for record in &frame.commands {
            assert!(log.command_result(shard, record.id).await.is_ok_and(|found| found.is_some()));
        }
    }
    for (written, kept) in [(2, 2), (4, 4), (3, 4)] {
        log.write_published(shard, written).await.expect("a write");
        let progress = log.progress(shard).await.expect("a read");
        assert_eq!(progress, Progress { derived_through: 6, published_through: kept, tail_hint: 6 });
    }
    must_derive(&*log, shard, &frames[..2]).await;
    let log = factory.reopen(log).await;
    let progress = log.progress(shard).await.expect("a read");
    assert_eq!(progress, Progress { derived_through: 6, published_through: 4, tail_hint: 6 });
    assert_eq!(log.progress(Shard(0)).await, Ok(Progress::default()));
}
