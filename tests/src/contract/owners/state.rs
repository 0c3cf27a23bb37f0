//! State: what decisions see, whatever was loaded, evicted, lost or rewritten.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use command_api::owner::OwnerConfig;
use domain::aggregate::SnapshotState;
use domain::command::{CommandError, CommandId, CommandRequest, Step};
use domain::identity::email_claim::EmailClaimCommand;
use domain::ports::gateway::CommandGateway;
use domain::ports::log::StoredSnapshot;
use domain::position::Shard;
use domain::refusal::RefusalKind;
use domain::stream::StreamId;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::FreshLog;
use super::note::{self, write};
use super::world::{
    SetClock, World, command, config, level, level_of, on, out_of_stock, owners, owners_at, owners_told,
    owners_with, reserve, set_stock, stock, stock_of,
};
use crate::faults::{Call, CallFault, FaultyLog, ProposeFault};
use crate::metrics::number;
use crate::shop::SETTLES_WITHIN;

/// Commands that arrive while their stream is being loaded run in order of arrival.
// proves: P5
pub async fn commands_on_a_cold_stream_keep_their_order<B: FreshLog>() {
    let world = World::<B>::new().await;
    let before = owners(world.log()).await;
    before.submit(command(set_stock(1_000))).await.unwrap();
    before.stop().await;
    let owners = owners(world.log()).await;
    let submits = (1..=50).map(|n| {
        let request = command(set_stock(1_000 + n));
        // Every other one needs a lookup as well, which may take longer than the load.
        owners.submit(if n % 2 == 0 { request.repeatable([1; 32]) } else { request })
    });
    for outcome in futures::future::join_all(submits).await {
        outcome.unwrap();
    }
    assert_eq!(level(&owners).await, (1_050, 0, 51));
}

/// Two hundred buyers of seven pieces: seven reservations, whatever frames they share.
// proves: INV-2
pub async fn the_last_pieces_are_sold_once<B: FreshLog>() {
    let world = World::<B>::new().await;
    let owners = owners(world.log()).await;
    owners.submit(command(set_stock(7))).await.unwrap();
    let buyers = (0..200).map(|n| {
        let owners = Arc::clone(&owners);
        tokio::spawn(async move { owners.submit(command(reserve(n, 1))).await })
    });
    let outcomes: Vec<_> = futures::future::join_all(buyers).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 7);
    assert_eq!(outcomes.iter().filter(|outcome| out_of_stock(outcome)).count(), 193);
    assert_eq!(level(&owners).await.1, 7);
}

/// A command with two steps of which one is refused leaves nothing behind.
// proves: USR-1
pub async fn steps_are_decided_together_or_not_at_all<B: FreshLog>() {
    let world = World::<B>::new().await;
    let owners = owners(world.log()).await;
    let claim = StreamId::new("default", "email_claim", "x");
    let claim_for = |user: u128| EmailClaimCommand::Claim { user_id: Uuid::from_u128(user) };
    let both = |user, on_hand| {
        let steps = vec![Step::new(stock(), set_stock(on_hand)), Step::new(claim.clone(), claim_for(user))];
        CommandRequest::new(CommandId::fresh(), "system:test", steps)
    };
    let accepted = owners.submit(both(1, 5)).await.unwrap();
    assert_eq!((accepted.events, accepted.position.n), (2, 2));
    let taken = owners.submit(both(2, 6)).await;
    assert!(matches!(taken, Err(CommandError::Refused(refusal)) if refusal.code == "email-taken"));
    assert_eq!(level(&owners).await, (5, 0, 1));
    let frames = world.frames(Shard(0)).await;
    let together = frames.iter().find(|frame| frame.events.len() == 2);
    assert!(together.is_some(), "both events share a frame");
}

/// A state from snapshot and later events equals the one that was folded live.
// proves: P5
pub async fn snapshots_and_events_give_the_same_state<B: FreshLog>() {
    let world = World::<B>::new().await;
    let every_ten = OwnerConfig { snapshot_every: 10, ..config() };
    let live = owners_with(world.log(), every_ten.clone()).await;
    live.submit(command(set_stock(100))).await.unwrap();
    for n in 0..34 {
        live.submit(command(reserve(n, 2))).await.unwrap();
    }
    let before = live.read(&[stock()]).await.unwrap().remove(0);
    live.stop().await;
    let snapshots = world.log().read_snapshots(&stock()).await.unwrap();
    assert_eq!(snapshots.iter().map(|snapshot| snapshot.version).collect::<Vec<_>>(), [30]);
    let loaded = owners_with(world.log(), every_ten).await;
    let after = loaded.read(&[stock()]).await.unwrap().remove(0);
    assert_eq!(after.meta, before.meta);
    assert_eq!(after.state.to_json().unwrap(), before.state.to_json().unwrap());
}

/// A snapshot that today's fold wouldn't have made is not believed.
// proves: P5
pub async fn a_snapshot_of_another_fold_is_ignored<B: FreshLog>() {
    let world = World::<B>::new().await;
    let first = owners(world.log()).await;
    first.submit(command(set_stock(5))).await.unwrap();
    first.stop().await;
    let contents = SnapshotState { state: r#"{"warehouses":{}}"#.into(), fold: [9; 32] };
    let snapshot = StoredSnapshot { version: 1, created_at: 0, updated_at: 0, contents };
    world.log().write_snapshots(Shard(0), &[(stock(), snapshot)]).await.unwrap();
    let second = owners(world.log()).await;
    assert_eq!(level(&second).await, (5, 0, 1));
}

/// A program of another fold was here meanwhile, as in a rollout that was taken back: the snapshot that this one made is found behind
/// the newer one, and its events are not read again.
// proves: P5
pub async fn a_usable_snapshot_behind_one_of_another_fold_is_used<B: FreshLog>() {
    let world = World::<B>::new().await;
    let every_ten = OwnerConfig { snapshot_every: 10, ..config() };
    let first = owners_with(world.log(), every_ten.clone()).await;
    for n in 1..=25 {
        first.submit(command(set_stock(n))).await.unwrap();
    }
    first.stop().await;
    let own = world.log().read_snapshots(&stock()).await.unwrap().remove(0);
    assert_eq!(own.version, 20);
    let contents = SnapshotState { state: r#"{"of":"another"}"#.into(), fold: [9; 32] };
    let newer = StoredSnapshot { version: 24, created_at: 0, updated_at: 0, contents };
    world.log().write_snapshots(Shard(0), &[(stock(), newer)]).await.unwrap();
    let faulty = FaultyLog::new(world.log());
    let second = owners_with(faulty.clone(), every_ten).await;
    assert_eq!(level(&second).await, (25, 0, 25));
    assert_eq!(faulty.read_after(), Some(20), "the load goes on from the usable snapshot");
}

/// A backlog of many cold streams, more than memory keeps: each stream is loaded once, few at a time.
// proves: P5
pub async fn a_backlog_of_cold_streams_loads_each_once<B: FreshLog>() {
    const STREAMS: u128 = 600;
    let world = World::<B>::new().await;
    let stocks = || (0..STREAMS).map(|n| stock_of(Uuid::from_u128(n)));
    // Six hundred at once take their time on a busy machine: nobody is told that the outcome isn't known.
    let patient = OwnerConfig { answer_within: Duration::from_secs(300), ..config() };
    let first = owners_with(world.log(), patient.clone()).await;
    // A log on a busy machine may not answer in time. The streams are to be there, in however many tries.
    let set = |stock: StreamId| {
        let first = &first;
        async move {
            let mut last: Option<CommandError> = None;
            for _ in 0..10 {
                match first.submit(on(stock.clone(), set_stock(5))).await {
                    Ok(_) => return,
                    Err(error) => last = Some(error),
                }
            }
            panic!("{stock}: {last:?}");
        }
    };
    futures::future::join_all(stocks().map(set)).await;
    first.stop().await;
    let faulty = FaultyLog::new(world.log());
    let few = OwnerConfig { cached_streams: 50, loads_at_once: 8, ..patient };
    let (second, told) = owners_told(faulty.clone(), few).await;
    // All are there before the first frame is decided, and states may leave memory.
    let gate = Arc::new(Semaphore::new(0));
    faulty.inject([ProposeFault::PausedBefore(Arc::clone(&gate))]);
    // Two on each stream, so that loads of one are shared.
    let jobs = stocks().chain(stocks()).zip(0..).map(|(stock, n)| second.submit(on(stock, reserve(n, 1))));
    let mut all = std::pin::pin!(futures::future::join_all(jobs));
    assert!(futures::poll!(&mut all).is_pending());
    gate.add_permits(1);
    let all = all.await;
    let failed = all.iter().find_map(|answer| answer.as_ref().err());
    assert_eq!(failed, None);
    let (loads, at_once) = faulty.loads();
    assert_eq!(u128::from(loads), STREAMS, "one load for each stream");
    assert!(at_once <= 8, "{at_once} loads at the same time");
    // Afterwards memory keeps what it may.
    second.submit(on(stock_of(Uuid::from_u128(0)), set_stock(9))).await.unwrap();
    let told = told.render();
    assert!(number(&told, "owner_cached_streams{shard=\"0\"}") <= 51, "{told}");
    assert_eq!(number(&told, "owner_loaded_total{shard=\"0\"}"), faulty.loads().0);
}

/// Snapshots that storage refuses, that are too large or that hang cost nobody anything: rows, frames and answers go on.
// proves: P5, P6
pub async fn snapshots_are_in_nobodys_way<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let hangs = Arc::new(Semaphore::new(0));
    let faults = [CallFault::Fails, CallFault::PausedBefore(Arc::clone(&hangs))];
    faulty.inject_in(Call::WriteSnapshots, faults);
    let each = OwnerConfig { snapshot_every: 1, overlay_bytes: 4_096, ..config() };
    let (first, told) = owners_told(faulty.clone(), each.clone()).await;
    for n in 1..=60 {
        first.submit(command(set_stock(n))).await.unwrap();
    }
    // The checkpoint follows the frames while a snapshot hangs.
    let derived = async {
        loop {
            let frames = world.frames(Shard(0)).await.len() as u64;
            if world.log().progress(Shard(0)).await.unwrap().derived_through == frames {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SETTLES_WITHIN, derived).await.expect("rows are written");
    let told = told.render();
    assert_eq!(number(&told, "owner_snapshots_failed_total{shard=\"0\"}"), 1);
    assert_eq!(number(&told, "owner_snapshots_total{shard=\"0\"}"), 0);
    hangs.add_permits(1);
    first.stop().await;
    assert_eq!(world.log().read_snapshots(&stock()).await.unwrap().remove(0).version, 60);

    // None is larger than it may be.
    let small = OwnerConfig { snapshot_bytes: 16, ..each };
    let (second, told) = owners_told(world.log(), small).await;
    for n in 1..=5 {
        second.submit(command(set_stock(100 + n))).await.unwrap();
    }
    second.stop().await;
    let told = told.render();
    assert_eq!(number(&told, "owner_snapshots_total{shard=\"0\"}"), 0);
    assert!(number(&told, "owner_snapshots_skipped_total{shard=\"0\"}") > 0);
    assert_eq!(world.log().read_snapshots(&stock()).await.unwrap().remove(0).version, 60);
    let third = owners(world.log()).await;
    assert_eq!(level(&third).await, (105, 0, 65));
}

/// Derived rows that can't be written are told with their reason, for as long as it lasts.
// proves: OPS-3, P6
pub async fn derived_rows_that_fail_are_told<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let gate = Arc::new(Semaphore::new(0));
    let faults = [CallFault::Fails, CallFault::Fails, CallFault::PausedBefore(Arc::clone(&gate))];
    faulty.inject_in(Call::WriteDerived, faults);
    let owners = owners_with(faulty.clone(), config()).await;
    owners.submit(command(set_stock(1))).await.unwrap();
    for _ in 0..3 {
        faulty.fault_met().await;
    }
    let (_, figures) = owners.figures().next().expect("a shard");
    let (since, reason) = figures.derived_failing().expect("told");
    assert!(since > Duration::ZERO && reason.contains("out of reach"), "{reason}");
    gate.add_permits(1);
    owners.stop().await;
    assert_eq!(figures.derived_failing(), None);
}

/// Derived rows are dropped: the next owner writes identical ones, and states and answers are what they were.
// proves: P5
pub async fn loss_of_all_derived_rows_loses_nothing<B: FreshLog>() {
    let world = World::<B>::sharded(4).await;
    let streams: Vec<StreamId> = (0..20).map(|n| stock_of(Uuid::from_u128(n))).collect();
    let first = owners(world.log()).await;
    for (n, stream) in (1..).zip(&streams) {
        first.submit(on(stream.clone(), set_stock(n)).repeatable([1; 32])).await.unwrap();
        first.submit(on(stream.clone(), reserve(1, 1))).await.unwrap();
    }
    first.stop().await;
    let mut digests = Vec::new();
    for n in 0..4 {
        digests.push(world.log().derived_digest(Shard(n)).await.unwrap());
        world.log().drop_derived(Shard(n)).await.unwrap();
        assert_ne!(world.log().derived_digest(Shard(n)).await.unwrap(), digests[usize::from(n)]);
    }
    // An overlay that holds little makes the takeover write rows while it reads.
    let second = owners_with(world.log(), OwnerConfig { overlay_bytes: 4_096, ..config() }).await;
    for (n, stream) in (1..).zip(&streams) {
        assert_eq!(level_of(&second, stream.clone()).await, (n, 1, 2));
    }
    second.stop().await;
    for n in 0..4 {
        let progress = world.log().progress(Shard(n)).await.unwrap();
        let frames = world.frames(Shard(n)).await.len() as u64;
        assert_eq!(progress.derived_through, frames);
    }
    // Fences have no rows, so the digests are those of before.
    for n in 0..4 {
        assert_eq!(world.log().derived_digest(Shard(n)).await.unwrap(), digests[usize::from(n)]);
    }
}

/// The machine's clock is set back: event times stay where they were, also across owners.
// proves: EVT-1
pub async fn time_never_goes_back_within_a_shard<B: FreshLog>() {
    let world = World::<B>::new().await;
    let start = domain::whole_micros(chrono::Utc::now());
    let clock = Arc::new(SetClock(Mutex::new(start)));
    let set = |minutes: i64| *clock.0.lock().expect("no panic") = start + chrono::TimeDelta::minutes(minutes);
    let first = owners_at(world.log(), config(), clock.clone()).await;
    first.submit(command(set_stock(1))).await.unwrap();
    set(-5);
    first.submit(command(set_stock(2))).await.unwrap();
    first.stop().await;
    set(-10);
    let second = owners_at(world.log(), config(), clock.clone()).await;
    second.submit(command(set_stock(3))).await.unwrap();
    set(1);
    second.submit(command(set_stock(4))).await.unwrap();
    let times: Vec<_> = world.events().await.iter().map(|event| event.time).collect();
    assert_eq!(times, [start, start, start, start + chrono::TimeDelta::minutes(1)]);
}

/// More commands than the queue holds: the surplus is told so at once, the others are decided once storage answers.
// proves: SEC-10
pub async fn a_full_queue_is_told_and_loses_nothing<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let owners = owners_with(faulty.clone(), OwnerConfig { queue: 8, ..config() }).await;
    owners.submit(command(set_stock(1_000))).await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    faulty.inject([ProposeFault::PausedAfter(Arc::clone(&gate))]);
    let submits = (0..100).map(|n| {
        let owners = Arc::clone(&owners);
        tokio::spawn(async move { owners.submit(command(reserve(n, 1))).await })
    });
    let submits: Vec<_> = submits.collect();
    faulty.fault_met().await;
    // Eight in the frame or ready, eight in the queue: the rest is refused while the slot is open.
    let refused = async {
        while submits.iter().filter(|submit| submit.is_finished()).count() < 100 - 8 - 8 - 8 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SETTLES_WITHIN, refused).await.expect("the surplus is told at once");
    gate.add_permits(1);
    let outcomes: Vec<_> = futures::future::join_all(submits).await.into_iter().map(Result::unwrap).collect();
    let accepted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let overloaded = outcomes.iter().filter(|o| matches!(o, Err(CommandError::Overloaded))).count();
    assert_eq!(accepted + overloaded, 100);
    assert_eq!(world.count("inventory.reserved").await, accepted);
}

/// What was accepted into the queue is answered before a stop ends; what comes later is told that the server stops.
// proves: OPS-2
pub async fn a_stop_answers_what_was_accepted<B: FreshLog>() {
    let world = World::<B>::new().await;
    let faulty = FaultyLog::new(world.log());
    let owners = owners(faulty.clone()).await;
    let gate = Arc::new(Semaphore::new(0));
    faulty.inject([ProposeFault::PausedBefore(Arc::clone(&gate))]);
    let mut submits: Vec<_> =
        (1..=100).map(|n| Box::pin(owners.submit(command(set_stock(n)).repeatable([1; 32])))).collect();
    for submit in &mut submits {
        // Polled once, it stands in the queue.
        assert!(futures::poll!(submit).is_pending());
    }
    faulty.fault_met().await;
    let (outcomes, (), ()) = tokio::join!(futures::future::join_all(submits), owners.stop(), async {
        // Dropped while they wait in the queue: these are decided all the same.
        let refused = loop {
            let late = std::pin::pin!(owners.submit(command(set_stock(1))));
            match futures::poll!(late) {
                std::task::Poll::Pending | std::task::Poll::Ready(Err(CommandError::Overloaded)) => {
                    tokio::task::yield_now().await;
                }
                std::task::Poll::Ready(outcome) => break outcome,
            }
        };
        assert!(
            matches!(&refused, Err(CommandError::Unavailable(r)) if r.contains("stopping")),
            "{refused:?}"
        );
        gate.add_permits(1);
    });
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let stocks = world.count("inventory.stock_set").await;
    // All late ones state the same stock, so the second of them changes nothing.
    assert!(stocks == 100 || stocks == 101, "{stocks}");
}

/// `If-Match`: a version that is not the stream's is refused, and a refusal before it in the frame doesn't count.
// proves: CAT-1
pub async fn a_stale_expected_version_is_refused<B: FreshLog>() {
    let world = World::<B>::new().await;
    let owners = owners(world.log()).await;
    owners.submit(command(set_stock(1))).await.unwrap();
    let at = |version, on_hand| {
        let mut request = command(set_stock(on_hand));
        request.steps[0].expected_version = Some(version);
        request
    };
    let racing = futures::future::join_all((2..12).map(|n| owners.submit(at(1, n)))).await;
    assert_eq!(racing.iter().filter(|outcome| outcome.is_ok()).count(), 1, "one of them had version 1");
    for outcome in racing.into_iter().filter_map(Result::err) {
        assert!(matches!(outcome, CommandError::Refused(r) if r.kind == RefusalKind::StaleVersion));
    }
}

/// The chain of frames verifies after concurrent work over all shards, and positions are dense.
// proves: P2, P8
pub async fn frames_verify<B: FreshLog>() {
    let world = World::<B>::sharded(4).await;
    let owners = owners(world.log()).await;
    let submits =
        (0..400_u128).map(|n| owners.submit(on(stock_of(Uuid::from_u128(n % 40)), set_stock(n as u64 + 1))));
    for outcome in futures::future::join_all(submits).await {
        outcome.unwrap();
    }
    let mut events = 0;
    for n in 0..4 {
        let frames = world.frames(Shard(n)).await;
        let positions: Vec<u64> = frames.iter().flat_map(|f| &f.events).map(|e| e.position.n).collect();
        assert_eq!(positions, (1..=positions.len() as u64).collect::<Vec<_>>());
        events += positions.len();
    }
    assert_eq!(events, 400);
    let heads: u64 = owners.heads().iter().map(|head| head.n).sum();
    assert_eq!(heads, 400);
}

/// One command's events must fit a frame; what doesn't is refused and changes nothing, and large ones still share the log.
// proves: SEC-10
pub async fn a_command_too_large_for_a_frame_is_refused<B: FreshLog>() {
    let world = World::<B>::new().await;
    let owners = note::owners(world.log(), config()).await;
    owners.submit(write(1_000_000)).await.unwrap();
    let refused = owners.submit(write(1 << 20)).await;
    assert!(matches!(refused, Err(CommandError::TooLarge { .. })), "{refused:?}");
    let many = futures::future::join_all((0..20).map(|_| owners.submit(write(300_000)))).await;
    assert!(many.iter().all(Result::is_ok));
    let views = owners.read(&[note::note()]).await.unwrap();
    assert_eq!(
        (views[0].meta.version, views[0].state::<note::Note>().map(|n| n.length)),
        (21, Some(300_000))
    );
}
