//! The receiver that asks the owner.

use std::time::Duration;

use command_api::peers::{PEER_HEADER, PeerSecret, RoutedConfig, RoutedGateway};
use domain::command::{CommandError, CommandId, CommandRequest, Step};
use domain::ports::clock::{Clock, SystemClock};
use domain::ports::gateway::CommandGateway;
use domain::position::Shard;
use domain::refusal::RefusalKind;
use domain::stream::{StreamId, draw_id_in_shard};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::FreshLeases;
use super::cluster::{Cluster, LossyPeers, SECRET, asking, peers, until};
use crate::contract::owners::note::{Note, write_to};
use crate::leases::HeldLeases;

const SHARDS: u16 = 4;

fn note(n: usize) -> StreamId {
    StreamId::new("default", "note", n)
}

/// A shard without an owner is waited for so long.
fn impatient() -> RoutedConfig {
    RoutedConfig { deadline: Duration::from_millis(600), ..RoutedConfig::default() }
}

/// Wherever a command arrives, its shard's owner decides it; and wherever a state is asked for, it is the decided one.
// proves: OPS-2
pub async fn any_instance_takes_any_command<B: FreshLeases>() {
    let cluster = Cluster::<B>::new(SHARDS).await;
    let members = cluster.members(2).await;
    let ownerless = cluster.gateway(None, peers(), asking());
    let gateways = [&members[0].gateway, &members[1].gateway, &ownerless];
    for (n, gateway) in gateways.into_iter().cycle().take(24).enumerate() {
        gateway.submit(write_to(note(n % 8), n)).await.unwrap();
    }
    let streams: Vec<StreamId> = (0..9).map(note).collect();
    for gateway in gateways {
        let views = gateway.read(&streams).await.unwrap();
        let lengths: Vec<Option<usize>> =
            views.iter().map(|view| view.state::<Note>().map(|note| note.length)).collect();
        let expected = [16, 17, 18, 19, 20, 21, 22, 23].map(Some);
        assert_eq!(lengths, [&expected[..], &[None]].concat());
        assert!(views.iter().zip(&streams).all(|(view, stream)| view.meta.stream == *stream));
    }
    let request = write_to(note(1), 1).repeatable([1; 32]);
    let (id, shard) = (request.id, note(1).shard(SHARDS));
    assert_eq!(ownerless.answered(shard, id, &[1; 32]).await, Ok(None));
    let first = ownerless.submit(request.clone()).await.unwrap();
    for gateway in gateways {
        let stored = gateway.answered(shard, id, &[1; 32]).await.unwrap().unwrap();
        assert_eq!((stored.position, stored.repeated), (first.position, true));
        assert_eq!(gateway.answered(shard, id, &[2; 32]).await, Err(CommandError::BodyMismatch));
    }
}

/// What a receiver knows of the owners is out of date: it finds the new one.
// proves: OPS-2
pub async fn a_receiver_follows_a_shard_that_moved<B: FreshLeases>() {
    let cluster = Cluster::<B>::new(SHARDS).await;
    let mut members = cluster.members(2).await;
    let receiver = cluster.gateway(None, peers(), asking());
    for n in 0..8 {
        receiver.submit(write_to(note(n), 1)).await.unwrap();
    }
    // A shard moves, and its old owner is there to say so.
    let third = cluster.member().await;
    members.push(third);
    cluster.shared_by(&members.iter().collect::<Vec<_>>()).await;
    for n in 0..8 {
        receiver.submit(write_to(note(n), 2)).await.unwrap();
    }
    // One is gone, and nobody answers at its address.
    members.remove(0).stop().await;
    for n in 0..8 {
        receiver.submit(write_to(note(n), 3)).await.unwrap();
    }
    assert_eq!(cluster.world.count("note.written").await, 24);
}

/// The owner's answer is lost. The receiver asks again under the same id, which the client never supplied, and gets that answer.
// proves: P3
pub async fn an_attempt_without_an_answer_is_found_by_its_id<B: FreshLeases>() {
    let cluster = Cluster::<B>::new(SHARDS).await;
    let members = cluster.members(2).await;
    let receiver = cluster.gateway(None, LossyPeers::losing(2), asking());
    let accepted = receiver.submit(write_to(note(1), 1)).await.unwrap();
    assert!(accepted.repeated, "found, not done again");
    // A stream that this command creates, so that it isn't loaded.
    let drawn = StreamId::new("default", "note", draw_id_in_shard("default", "note", Shard(2), SHARDS));
    let mut create = write_to(drawn, 7);
    create.steps[0].fresh = true;
    let receiver = cluster.gateway(None, LossyPeers::losing(1), asking());
    assert!(receiver.submit(create).await.unwrap().repeated);
    // Its new owner finds it as well.
    let receiver = cluster.gateway(None, LossyPeers::losing(1), asking());
    let moved = write_to(note(1), 2);
    let (moved_answer, ()) = tokio::join!(receiver.submit(moved), async {
        let shard = note(1).shard(SHARDS);
        for member in &members {
            until("the other one has it", async || member.owners.acquire(shard).await.is_ok()).await;
        }
    });
    moved_answer.unwrap();
    assert_eq!(cluster.world.count("note.written").await, 3);
}

/// No answer ever comes: the caller learns the id under which a repeat is safe.
// proves: P3
pub async fn an_outcome_that_stays_unknown_is_told_with_its_id<B: FreshLeases>() {
    let cluster = Cluster::<B>::new(SHARDS).await;
    let _members = cluster.members(1).await;
    let receiver = cluster.gateway(None, LossyPeers::losing(usize::MAX), impatient());
    let request = write_to(note(1), 1);
    assert_eq!(
        receiver.submit(request.clone()).await,
        Err(CommandError::OutcomeUnknown(request.id.repeatable()))
    );
    let repeat = cluster.gateway(None, peers(), asking()).submit(request.repeatable([0; 32])).await;
    assert!(repeat.unwrap().repeated);
    assert_eq!(cluster.world.count("note.written").await, 1);
}

/// Nobody owns the shard: nothing was done, and the caller is told so in time; also when its owner's address is a dead one.
// proves: OPS-2
pub async fn without_an_owner_it_is_unavailable<B: FreshLeases>() {
    let cluster = Cluster::<B>::new(SHARDS).await;
    let receiver = cluster.gateway(None, peers(), impatient());
    let outcome = receiver.submit(write_to(note(1), 1)).await;
    assert!(matches!(outcome, Err(CommandError::Unavailable(_))), "{outcome:?}");
    assert!(receiver.read(&[note(1)]).await.is_err(), "never \"not found\"");
    let member = cluster.members(1).await.remove(0);
    member.die().await;
    let outcome = receiver.submit(write_to(note(1), 1)).await;
    assert!(matches!(outcome, Err(CommandError::Unavailable(_))), "{outcome:?}");
}

/// Looking for the owner took all the time that the caller had: it isn't asked any more, so nothing was done, and the caller is told so.
// proves: P3, OPS-2
pub async fn a_command_that_found_its_owner_too_late_was_not_done<B: FreshLeases>() {
    let cluster = Cluster::<B>::new(SHARDS).await;
    let _members = cluster.members(1).await;
    let leases = HeldLeases::new(cluster.world.backend.leases());
    let short = RoutedConfig { deadline: Duration::from_millis(50), ..RoutedConfig::default() };
    let found_after = short.deadline * 2;
    let receiver = RoutedGateway::new(None, leases.clone(), peers(), SHARDS, short);
    leases.hold(true);
    let (outcome, ()) = tokio::join!(receiver.submit(write_to(note(1), 1)), async {
        tokio::time::sleep(found_after).await;
        leases.hold(false);
    });
    assert!(matches!(outcome, Err(CommandError::Unavailable(_))), "{outcome:?}");
    assert_eq!(cluster.world.count("note.written").await, 0);
}

/// A peer's refusals are those of an own owner.
// proves: OPS-2
pub async fn errors_cross_as_they_are<B: FreshLeases>() {
    let cluster = Cluster::<B>::new(SHARDS).await;
    let member = cluster.members(1).await.remove(0);
    let receiver = cluster.gateway(None, peers(), asking());
    let mut stale = write_to(note(1), 1);
    stale.steps[0].expected_version = Some(9);
    let outcome = receiver.submit(stale.clone()).await;
    assert!(
        matches!(&outcome, Err(CommandError::Refused(r)) if r.kind == RefusalKind::StaleVersion),
        "{outcome:?}"
    );
    assert_eq!(outcome, member.gateway.submit(stale).await);
    let large = receiver.submit(write_to(note(1), 2 << 20)).await;
    assert!(matches!(large, Err(CommandError::TooLarge { .. })), "{large:?}");
    let scattered = [write_to(note(0), 1).steps, write_to(note(1), 1).steps, write_to(note(2), 1).steps];
    let scattered: Vec<Step> = scattered.concat();
    let outcome = receiver.submit(CommandRequest::new(CommandId::fresh(), "system:test", scattered)).await;
    assert!(matches!(outcome, Err(CommandError::Internal(_))), "{outcome:?}");
}

/// The listener for peers answers peers only, and bounds what it reads.
// proves: SEC-8, SEC-10
pub async fn requests_that_are_not_a_peers_are_turned_away<B: FreshLeases>() {
    let cluster = Cluster::<B>::new(SHARDS).await;
    let member = cluster.members(1).await.remove(0);
    let path = format!("/internal/v1/owner/{}/read", note(1).shard(SHARDS));
    let body = serde_json::to_vec(&[note(1)]).unwrap();
    let sign = |secret: [u8; 32], path: &str, body: &[u8]| {
        PeerSecret::new(secret).sign("POST", path, SystemClock.now(), body)
    };
    let client = reqwest::Client::new();
    let post = |path: &str, signature: Option<String>, body: Vec<u8>| {
        let request = client.post(format!("http://{}{path}", member.address)).body(body);
        let request = signature.into_iter().fold(request, |request, s| request.header(PEER_HEADER, s));
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(post(&path, Some(sign(SECRET, &path, &body)), body.clone()).await, 200);
    assert_eq!(post(&path, None, body.clone()).await, 401);
    assert_eq!(post(&path, Some("v1 0 00".into()), body.clone()).await, 401);
    assert_eq!(post(&path, Some(sign([8; 32], &path, &body)), body.clone()).await, 401);
    assert_eq!(post(&path, Some(sign(SECRET, "/other", &body)), body.clone()).await, 401);
    assert_eq!(post(&path, Some(sign(SECRET, &path, b"other")), body.clone()).await, 401);
    let old = SystemClock.now() - Duration::from_secs(90);
    let old = PeerSecret::new(SECRET).sign("POST", &path, old, &body);
    assert_eq!(post(&path, Some(old), body.clone()).await, 401);
    let length = command_api::web::peers::MAX_BODY + 1;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{PEER_HEADER}: {}\r\n\r\n",
        sign(SECRET, &path, b"")
    );
    let mut connection = tokio::net::TcpStream::connect(&member.address).await.unwrap();
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413", "before the body was sent");
    let elsewhere = format!("/internal/v1/owner/{}/read", (note(1).shard(SHARDS).0 + 1) % SHARDS);
    assert_eq!(post(&elsewhere, Some(sign(SECRET, &elsewhere, &body)), body).await, 400);
    let nonsense = b"{".to_vec();
    assert_eq!(post(&path, Some(sign(SECRET, &path, &nonsense)), nonsense).await, 400);
}
