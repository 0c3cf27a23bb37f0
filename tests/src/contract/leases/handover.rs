//! Shards that change hands: with order, by force, and by the death or pause of their owner.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use command_api::peers::RoutedGateway;
use domain::command::CommandRequest;
use domain::ports::gateway::CommandGateway;
use domain::position::Shard;
use domain::stream::StreamId;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::FreshLeases;
use super::cluster::{Cluster, asking, peers, until};
use crate::contract::owners::note::write_to;
use crate::faults::{Call, CallFault, FaultyLog, ProposeFault};

/// Notes that the load writes to, spread over the shards.
const NOTES: usize = 40;

fn note_of(n: usize) -> StreamId {
    StreamId::new("default", "note", n)
}

/// A note in the shard.
fn note_in(shard: Shard, shards: u16) -> StreamId {
    (0..).map(note_of).find(|note| note.shard(shards) == shard).expect("endless")
}

/// Writes for as long as `go_on` says so, every other command under an id that the client supplied; answers the ids of the accepted
/// ones. No command may fail.
async fn write_all(
    gateways: &[Arc<RoutedGateway>],
    worker: usize,
    done: &AtomicUsize,
    go_on: &AtomicBool,
) -> Vec<Uuid> {
    let mut accepted = Vec::new();
    let mut n = 0;
    while go_on.load(Ordering::SeqCst) {
        let mut request = write_to(note_of((worker * 7 + n) % NOTES), n);
        if n.is_multiple_of(2) {
            request = request.repeatable([1; 32]);
        }
        let gateway = &gateways[(worker + n) % gateways.len()];
        let outcome = gateway.submit(request.clone()).await;
        assert!(outcome.is_ok(), "{outcome:?}");
        accepted.push(request.causation_id);
        done.fetch_add(1, Ordering::SeqCst);
        n += 1;
    }
    accepted
}

/// Checks that the log holds these commands once each, and no others; and that it holds together.
async fn once_each<B: FreshLeases>(cluster: &Cluster<B>, accepted: Vec<Uuid>) {
    let events = cluster.world.events().await;
    let caused: Vec<Uuid> = events.iter().map(|event| event.causation_id).collect();
    let distinct: BTreeSet<Uuid> = caused.iter().copied().collect();
    assert_eq!(distinct.len(), caused.len(), "a command was done twice");
    assert_eq!(distinct, accepted.into_iter().collect::<BTreeSet<_>>());
    let report = infra::verify::verify_store(&*cluster.world.log(), |_, _| {}).await.unwrap();
    assert!(report.ok, "{report:?}");
}

/// One instance owns all shards; when others come they get their share, and when one goes the rest take its shards.
// proves: OPS-2
pub async fn every_instance_gets_its_fair_share<B: FreshLeases>() {
    let cluster = Cluster::<B>::new(16).await;
    let first = cluster.members(1).await.remove(0);
    assert_eq!(first.owners.owned().len(), 16);
    let (second, third) = (cluster.member().await, cluster.member().await);
    cluster.shared_by(&[&first, &second, &third]).await;
    first.stop().await;
    cluster.shared_by(&[&second, &third]).await;
}

/// Two of three instances are replaced one after another, with writers at all times: each command is done once, none fails.
// proves: OPS-2, P4
pub async fn a_rolling_restart_loses_and_doubles_nothing<B: FreshLeases>() {
    let cluster = Cluster::<B>::new(8).await;
    let mut members = cluster.members(3).await;
    let gateways = [Arc::clone(&members[0].gateway), cluster.gateway(None, peers(), asking())];
    let (done, go_on) = (AtomicUsize::new(0), AtomicBool::new(true));
    let writers = futures::future::join_all((0..8).map(|n| write_all(&gateways, n, &done, &go_on)));
    let restarts = async {
        for _ in 0..2 {
            members.remove(1).stop().await;
            members.push(cluster.member().await);
            cluster.shared_by(&members.iter().collect::<Vec<_>>()).await;
            let so_far = done.load(Ordering::SeqCst);
            until("the writers go on", async || done.load(Ordering::SeqCst) > so_far + 20).await;
        }
        go_on.store(false, Ordering::SeqCst);
    };
    let (accepted, ()) = tokio::join!(writers, restarts);
    for member in members {
        member.stop().await;
    }
    once_each(&cluster, accepted.concat()).await;
}

/// An owner is paused between a decision and its write, for longer than its lease. Another takes over; the paused one, awake again,
/// loses its frame, and its caller's command is done once, by the new owner.
// proves: P4
pub async fn a_paused_owner_is_replaced_and_finds_out<B: FreshLeases>() {
    let cluster = Cluster::<B>::new(2).await;
    let members = cluster.members(2).await;
    let (paused, other) = (&members[0], &members[1]);
    let shard = paused.owners.owned()[0];
    let note = note_in(shard, 2);
    let before = write_to(note.clone(), 1);
    paused.gateway.submit(before.clone()).await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    paused.log.inject([ProposeFault::PausedBefore(Arc::clone(&gate))]);
    let held = write_to(note.clone(), 2);
    let (held_answer, meanwhile) = tokio::join!(paused.gateway.submit(held.clone()), async {
        paused.log.fault_met().await;
        paused.leases.hold(true);
        until("the other one owns it", async || other.owners.owns(shard)).await;
        let meanwhile = write_to(note.clone(), 3);
        other.gateway.submit(meanwhile.clone()).await.unwrap();
        paused.leases.hold(false);
        gate.add_permits(1);
        meanwhile
    });
    held_answer.unwrap();
    cluster.shared_by(&[paused, other]).await;
    for member in members {
        member.stop().await;
    }
    let ids = [before, meanwhile, held].map(|request: CommandRequest| request.causation_id);
    let order: Vec<Uuid> = cluster.world.events().await.iter().map(|event| event.causation_id).collect();
    assert_eq!(order, ids, "the held command came last");
    once_each(&cluster, ids.to_vec()).await;
}

/// Two processes own a shard because somebody made them: the slots keep them apart, and one is left.
// proves: P1, P4
pub async fn two_owners_by_force_do_no_harm<B: FreshLeases>() {
    let cluster = Cluster::<B>::new(4).await;
    let members = cluster.members(2).await;
    let gateways = [Arc::clone(&members[0].gateway), Arc::clone(&members[1].gateway)];
    let (done, go_on) = (AtomicUsize::new(0), AtomicBool::new(true));
    let writers = futures::future::join_all((0..4).map(|n| write_all(&gateways, n, &done, &go_on)));
    let force = async {
        for _ in 0..3 {
            for member in &members {
                for shard in (0..4).map(Shard) {
                    member.owners.acquire(shard).await.unwrap();
                }
            }
        }
        cluster.shared_by(&members.iter().collect::<Vec<_>>()).await;
        go_on.store(false, Ordering::SeqCst);
    };
    let (accepted, ()) = tokio::join!(writers, force);
    for member in members {
        member.stop().await;
    }
    once_each(&cluster, accepted.concat()).await;
}

/// Without its leases a keeper keeps its shards, since the slots are what makes them safe, until another process has fenced it off.
// proves: P4
pub async fn a_keeper_without_its_leases_keeps_its_shards_until_somebody_takes_them<B: FreshLeases>() {
    let cluster = Cluster::<B>::new(2).await;
    let alone = cluster.members(1).await.remove(0);
    alone.leases.hold(true);
    tokio::time::sleep(super::cluster::times().lease * 2).await;
    let first = write_to(note_of(0), 1);
    alone.gateway.submit(first.clone()).await.unwrap();
    let other = cluster.members(1).await.remove(0);
    assert_eq!(other.owners.owned().len(), 2, "silent for longer than the lease");
    let second = write_to(note_of(0), 2);
    alone.gateway.submit(second.clone()).await.unwrap();
    alone.leases.hold(false);
    cluster.shared_by(&[&alone, &other]).await;
    alone.stop().await;
    other.stop().await;
    once_each(&cluster, vec![first.causation_id, second.causation_id]).await;
}

/// An instance dies: its shards are claimed after the lease, and callers of others wait for so long at most.
// proves: P4, OPS-2
pub async fn a_dead_owners_shards_go_to_the_others<B: FreshLeases>() {
    let cluster = Cluster::<B>::new(4).await;
    let members = cluster.members(2).await;
    let (dead, left) = (&members[0], &members[1]);
    let wanted: Vec<CommandRequest> =
        dead.owners.owned().into_iter().map(|shard| write_to(note_in(shard, 4), 1)).collect();
    dead.die().await;
    for outcome in futures::future::join_all(wanted.iter().map(|r| left.gateway.submit(r.clone()))).await {
        outcome.unwrap();
    }
    assert_eq!(left.owners.owned().len(), 4);
    for member in members {
        member.stop().await;
    }
    once_each(&cluster, wanted.iter().map(|request| request.causation_id).collect()).await;
}

/// Taking shards over panics, here and there: their leases are given up, and in the end each has an owner.
// proves: OPS-2, P4
pub async fn a_takeover_that_panics_leaves_no_shard_without_an_owner<B: FreshLeases>() {
    let cluster = Cluster::<B>::new(4).await;
    let log = FaultyLog::new(cluster.world.log());
    log.inject_in(Call::ReadFrames, [CallFault::Panics, CallFault::Panics]);
    let first = cluster.member_over(log).await;
    first.log.fault_met().await;
    first.log.fault_met().await;
    cluster.shared_by(&[&first]).await;
    let log = FaultyLog::new(cluster.world.log());
    log.inject_in(Call::ReadFrames, [CallFault::Panics]);
    let second = cluster.member_over(log).await;
    second.log.fault_met().await;
    cluster.shared_by(&[&first, &second]).await;
}

/// The keeper itself panics: another one takes its place, and goes on to give shards away and to take them.
// proves: OPS-2, P4
pub async fn a_keeper_that_panics_is_replaced<B: FreshLeases>() {
    let cluster = Cluster::<B>::new(4).await;
    let first = cluster.members(1).await.remove(0);
    first.leases.panic(2);
    // The members ask through leases of the cluster's own, so only the keeper meets it.
    until("it panics", async || first.leases.panics_left() == 0).await;
    let second = cluster.member().await;
    cluster.shared_by(&[&first, &second]).await;
    second.stop().await;
    cluster.shared_by(&[&first]).await;
    first.stop().await;
}
