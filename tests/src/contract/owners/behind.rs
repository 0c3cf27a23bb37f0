//! What runs beside the frames: loads, lookups, derived rows, snapshots, and how an owner ends when these fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use command_api::owner::OwnerConfig;
use domain::command::{CommandError, CommandId};
use domain::ports::gateway::CommandGateway;
use domain::ports::log::Partitions;
use domain::position::Shard;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::FreshLog;
use super::note::{self, write, write_to};
use super::world::{
    World, command, config, insist, level, level_of, on, owners, owners_with, reserve, set_stock, stock_of,
};
use crate::faults::{Call, CallFault, FaultyLog, ProposeFault};
use crate::shop::SETTLES_WITHIN;

fn unavailable<T>(outcome: &Result<T, CommandError>) -> bool {
    matches!(outcome, Err(CommandError::Unavailable(_)))
}

/// A stream that can't be loaded: every command on it is told so, and may come again under its id.
// proves: P5
pub async fn a_failed_load_leaves_nothing_behind<B: FreshLog>() {
    let world = World::<B>::new().await;
    let before = owners(world.log()).await;
    before.submit(command(set_stock(5))).await.unwrap();
    before.stop().await;
    let faulty = FaultyLog::new(world.log());
    let owners = owners(faulty.clone()).await;
    let gate = Arc::new(Semaphore::new(0));
    faulty.inject_in(Call::ReadStream, [CallFault::FailsLate(Arc::clone(&gate))]);
    let first = command(reserve(1, 1)).repeatable([1; 32]);
    let second = command(reserve(2, 1));
    let (one, two, ()) = tokio::join!(owners.submit(first.clone()), owners.submit(second), async {
        faulty.fault_met().await;
        // Taken in after the second command, which therefore waits for the same load by now.
        owners.answered(Shard(0), CommandId::fresh(), &[0; 32]).await.unwrap();
        gate.add_permits(1);
    });
    assert!(unavailable(&one) && unavailable(&two), "{one:?} {two:?}");
    assert!(!owners.submit(first).await.unwrap().repeated, "it is neither in flight nor accepted");
    assert_eq!(level(&owners).await, (5, 1, 2));
}

/// A command id that can't be looked up: the command is not decided, and may come again.
// proves: P5
pub async fn a_failed_lookup_leaves_nothing_behind<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let owners = owners(faulty.clone()).await;
    owners.submit(command(set_stock(5))).await.unwrap();
    faulty.inject_in(Call::CommandResult, [CallFault::Fails]);
    let request = command(reserve(1, 1)).repeatable([1; 32]);
    let failed = owners.submit(request.clone()).await;
    assert!(unavailable(&failed), "{failed:?}");
    assert_eq!(level(&owners).await, (5, 0, 1), "it was not decided without the lookup");
    assert!(!owners.submit(request).await.unwrap().repeated);
}

/// A load reads the rows before the last frames' are written; these are written and acknowledged before it ends.
// proves: P5
pub async fn a_load_under_way_sees_what_is_acknowledged_meanwhile<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let (rows, load) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    faulty.inject_in(Call::WriteDerived, [CallFault::PausedBefore(Arc::clone(&rows))]);
    let owners = owners(faulty.clone()).await;
    faulty.fault_met().await;
    owners.submit(command(set_stock(5))).await.unwrap();
    // A frame that is not written makes the owner forget the state.
    faulty.inject([ProposeFault::NotWritten]);
    let lost = owners.submit(command(reserve(1, 1))).await;
    assert!(unavailable(&lost), "{lost:?}");
    faulty.fault_met().await;
    faulty.inject_in(Call::ReadStream, [CallFault::PausedAfter(Arc::clone(&load))]);
    let (reserved, ()) = tokio::join!(owners.submit(command(reserve(2, 1))), async {
        faulty.fault_met().await;
        rows.add_permits(1);
        let tail = world.frames(Shard(0)).await.len() as u64;
        while world.log().progress(Shard(0)).await.unwrap().derived_through < tail {
            tokio::task::yield_now().await;
        }
        // Nothing outside tells when the owner has heard of it; it takes far less than this. Were it too short, the case would be
        // another one, which holds as well.
        tokio::time::sleep(Duration::from_millis(100)).await;
        load.add_permits(1);
    });
    reserved.unwrap();
    assert_eq!(level(&owners).await, (5, 1, 2));
}

/// A frame is lost, and with it the state that the commands behind it need. Those wait aside until it is loaded again; other
/// streams' commands go on, and nobody overtakes on the same stream.
// proves: P5
pub async fn commands_behind_a_lost_frame_keep_their_order<B: FreshLog>() {
    const FILLS_A_FRAME: usize = 200_000;
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let owners = note::owners(faulty.clone(), config()).await;
    owners.submit(write_to(note::other_note(), 1)).await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    faulty.inject([ProposeFault::PausedBefore(Arc::clone(&gate)), ProposeFault::NotWritten]);
    let behind = [
        write(10),
        // Alone in the frame that is lost.
        write(FILLS_A_FRAME),
        write(11),
        write_to(note::other_note(), FILLS_A_FRAME),
        write(12),
        write(13),
    ];
    let mut submits: Vec<_> = Vec::new();
    for request in behind {
        let mut submit = Box::pin(owners.submit(request));
        assert!(futures::poll!(&mut submit).is_pending());
        submits.push(submit);
        if submits.len() == 1 {
            faulty.fault_met().await;
        }
    }
    gate.add_permits(1);
    let outcomes = futures::future::join_all(submits).await;
    assert!(unavailable(&outcomes[1]), "{:?}", outcomes[1]);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
    let events = world.events().await;
    let lengths: Vec<usize> =
        events.iter().filter(|event| event.stream == note::note()).map(|event| event.data.len()).collect();
    assert!(lengths.len() == 4 && lengths.is_sorted(), "{lengths:?}");
}

/// Derived rows fail, then hang: the owner keeps so many bytes of frames and no more, and goes on when storage does.
// proves: P5, P6
pub async fn derived_rows_far_behind_hold_the_frames_up<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let gate = Arc::new(Semaphore::new(0));
    let faults = [CallFault::Fails, CallFault::Fails, CallFault::PausedBefore(Arc::clone(&gate))];
    faulty.inject_in(Call::WriteDerived, faults);
    let answer_within = Duration::from_millis(500);
    let owners =
        owners_with(faulty.clone(), OwnerConfig { overlay_bytes: 8_192, answer_within, ..config() }).await;
    let mut accepted = 0;
    let held_up = loop {
        match owners.submit(command(set_stock(accepted + 1))).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 500, "frames went on without their derived rows");
    };
    assert!(matches!(held_up, CommandError::OutcomeUnknown(_)), "{held_up:?}");
    assert_eq!(world.log().progress(Shard(0)).await.unwrap().derived_through, 0);
    gate.add_permits(1);
    // What was held up is decided first.
    insist(&owners, command(reserve(1, 1))).await.unwrap();
    assert_eq!(level(&owners).await, (accepted + 1, 1, accepted + 2));
    owners.stop().await;
    let frames = world.frames(Shard(0)).await.len() as u64;
    assert_eq!(world.log().progress(Shard(0)).await.unwrap().derived_through, frames);
}

/// Snapshots are taken as frames are decided; none is written before the rows of the frame that it holds.
// proves: P6
pub async fn snapshots_claim_only_what_is_written<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let gates: Vec<_> = (0..3).map(|_| Arc::new(Semaphore::new(0))).collect();
    faulty.inject_in(Call::WriteDerived, gates.iter().map(|gate| CallFault::PausedBefore(Arc::clone(gate))));
    let owners = note::owners(faulty.clone(), OwnerConfig { snapshot_every: 1, ..config() }).await;
    faulty.fault_met().await;
    // More than one batch of derived rows takes.
    for _ in 0..8 {
        owners.submit(write(1_000_000)).await.unwrap();
    }
    for gate in &gates[..2] {
        gate.add_permits(1);
        faulty.fault_met().await;
    }
    let snapshots = world.log().read_snapshots(&note::note()).await.unwrap();
    let rows = world.log().read_stream(&note::note(), 0, 100).await.unwrap();
    assert!(!rows.is_empty() && rows.len() < 8, "{} versions were written", rows.len());
    assert!(snapshots.iter().all(|snapshot| snapshot.version <= rows.len() as u64));
    gates[2].add_permits(1);
    owners.stop().await;
    assert_eq!(world.log().read_snapshots(&note::note()).await.unwrap().remove(0).version, 8);
}

/// Frames of a mebibyte, and partitions that should have sixteen: what is left of a full one is filled with frames without contents, also
/// by an owner that comes later and has to find out what is in it.
// proves: P2, P4
pub async fn partitions_stay_as_small_as_they_should<B: FreshLog>() {
    const FRAMES: u64 = 32;
    const BYTES: u64 = 16 << 20;
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    faulty.set_partitions(Some(Partitions { frames: FRAMES, bytes: BYTES }));
    let mut written = 0;
    for _ in 0..3 {
        let owners = note::owners(faulty.clone(), config()).await;
        for _ in 0..6 {
            written += owners.submit(write(1_000_000)).await.unwrap().events;
        }
        owners.stop().await;
    }
    let (mut partitions, mut padding) = (BTreeMap::<u64, u64>::new(), 0);
    let mut number = 1;
    loop {
        let page = world.log().read_frames(Shard(0), number, 100, 8 << 20).await.unwrap();
        if page.is_empty() {
            break;
        }
        for frame in page {
            *partitions.entry(number / FRAMES).or_default() += frame.len() as u64;
            number += 1;
        }
    }
    let frames = world.frames(Shard(0)).await;
    let fences = 3;
    padding += frames.iter().filter(|frame| frame.events.is_empty()).count() - fences;
    assert_eq!(world.count("note.written").await as u64, written);
    assert!(partitions.len() >= 3 && padding > 0, "{partitions:?}");
    assert!(partitions.values().all(|bytes| *bytes <= BYTES), "{partitions:?}");
    // Small frames need no padding.
    let owners = note::owners(faulty.clone(), config()).await;
    for _ in 0..2 * FRAMES {
        owners.submit(write(10)).await.unwrap();
    }
    owners.stop().await;
    let later = world.frames(Shard(0)).await;
    assert_eq!(later.len() as u64 - frames.len() as u64, 2 * FRAMES + 1, "and a fence");
}

/// More streams than memory keeps: each is loaded again, whatever it met meanwhile.
// proves: P5
pub async fn states_that_left_memory_come_back<B: FreshLog>() {
    const STREAMS: u128 = 1_500;
    let world = World::<B>::new().await;
    let owners = owners_with(world.log(), OwnerConfig { cached_streams: 1, ..config() }).await;
    let all = |inventory: fn() -> domain::inventory::InventoryCommand| {
        let owners = &owners;
        futures::future::join_all(
            (0..STREAMS).map(move |n| owners.submit(on(stock_of(Uuid::from_u128(n)), inventory()))),
        )
    };
    for inventory in [|| set_stock(5), || reserve(1, 2), || reserve(2, 3)] {
        assert!(all(inventory).await.iter().all(Result::is_ok));
    }
    assert!(all(|| reserve(3, 1)).await.iter().all(super::world::out_of_stock));
    for n in [0, STREAMS / 2, STREAMS - 1] {
        assert_eq!(level_of(&owners, stock_of(Uuid::from_u128(n))).await, (5, 5, 3));
    }
}

/// Storage never answers: a stop ends all the same, and who waits learns that the outcome is unknown.
// proves: OPS-2, P3
pub async fn a_stop_ends_while_storage_hangs<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let owners =
        owners_with(faulty.clone(), OwnerConfig { stop_within: Duration::from_millis(100), ..config() })
            .await;
    faulty.inject([ProposeFault::PausedBefore(Arc::new(Semaphore::new(0)))]);
    let request = command(set_stock(1));
    let both = async {
        tokio::join!(owners.submit(request.clone()), async {
            faulty.fault_met().await;
            owners.stop().await;
        })
    };
    let (outcome, ()) = tokio::time::timeout(SETTLES_WITHIN, both).await.expect("a stop ends");
    assert_eq!(outcome, Err(CommandError::OutcomeUnknown(request.id)));
}

/// One frame at a time: the frame of a shard waits while another shard's is sent, and takes what comes meanwhile; but it doesn't wait for a
/// slot that stays open.
// proves: P3
pub async fn shards_take_turns_and_wait_for_no_open_slot<B: FreshLog>() {
    let world = World::<B>::sharded(2).await;
    let faulty = FaultyLog::new(world.log());
    let owners = owners_with(faulty.clone(), OwnerConfig { frames_at_once: 1, ..config() }).await;
    let stock_in = |shard| (1..).map(|n| stock_of(Uuid::from_u128(n))).find(|s| s.shard(2) == shard).unwrap();
    let (here, there) = (stock_in(Shard(0)), stock_in(Shard(1)));
    let [sent, open] = [(); 2].map(|()| Arc::new(Semaphore::new(0)));
    faulty.inject([ProposeFault::PausedBefore(Arc::clone(&sent))]);
    let others = async {
        faulty.fault_met().await;
        let mut all = std::pin::pin!(futures::future::try_join_all(
            (1..4).map(|n| owners.submit(on(there.clone(), set_stock(n))))
        ));
        // Nothing outside tells that a frame isn't sent, so the case looks for a while. The three commands wait in the queue from the
        // first moment on.
        tokio::select! {
            _ = &mut all => panic!("decided while another shard's frame was sent"),
            () = tokio::time::sleep(Duration::from_millis(100)) => sent.add_permits(1),
        }
        all.await
    };
    let (first, others) = tokio::join!(owners.submit(on(here.clone(), set_stock(1))), others);
    assert_eq!((first.is_ok(), others.unwrap().len()), (true, 3));
    let frames = world.frames(Shard(1)).await;
    assert_eq!(
        frames.iter().map(|f| f.commands.len()).collect::<Vec<_>>(),
        [0, 3],
        "after the fence, one frame"
    );

    // Neither for a frame nor for a read that hangs.
    faulty.inject([ProposeFault::PausedBefore(Arc::clone(&open))]);
    let other = async {
        faulty.fault_met().await;
        let other = owners.submit(on(there.clone(), set_stock(9))).await;
        open.add_permits(1);
        other
    };
    let (first, other) = tokio::join!(owners.submit(on(here.clone(), set_stock(2))), other);
    assert!(first.is_ok() && other.is_ok(), "{first:?} {other:?}");
    faulty.pause_slot_read(Arc::clone(&open));
    let other = async {
        faulty.fault_met().await;
        let other = owners.submit(on(there, set_stock(10))).await;
        open.add_permits(1);
        other
    };
    let (level, other) = tokio::join!(level_of(&owners, here), other);
    assert!(other.is_ok(), "{other:?}");
    assert_eq!(level, (2, 0, 2));
}
