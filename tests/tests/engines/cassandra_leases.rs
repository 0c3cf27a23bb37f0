//! The rows of leases on Cassandra, below what the contract sees of them.

use std::time::Duration;

use domain::ports::leases::{Instance, InstanceId, Lease, Leases};
use domain::position::Shard;
use futures::future::join_all;
use tests::cassandra::Keyspace;
use tests::server::eventually;
use tests::shop::SETTLES_WITHIN;
use uuid::Uuid;

fn instance(port: u16) -> Instance {
    Instance { id: InstanceId(Uuid::new_v4()), address: format!("10.0.0.1:{port}") }
}

fn claim(shard: u16, owner: &Instance, epoch: u64) -> Lease {
    Lease { shard: Shard(shard), owner: Some(owner.clone()), epoch, beat: 0 }
}

// proves: OPS-2
#[tokio::test]
async fn a_row_is_replaced_by_who_saw_its_last_beat() {
    let keyspace = Keyspace::new(3).await;
    let leases = keyspace.open().await;
    let fresh = |shard| Lease { shard: Shard(shard), owner: None, epoch: 0, beat: 0 };
    assert_eq!(leases.leases().await, Ok(vec![fresh(0), fresh(1), fresh(2)]));

    let owner = instance(1);
    assert_eq!(leases.replace(0, &claim(1, &owner, 0)).await, Ok(None));
    let stands = Lease { beat: 1, ..claim(1, &owner, 0) };
    assert_eq!(leases.leases().await.unwrap()[1], stands);
    // Beats, with the epoch once it is known.
    assert_eq!(leases.replace(1, &claim(1, &owner, 7)).await, Ok(None));
    let stands = Lease { beat: 2, ..claim(1, &owner, 7) };

    // Who saw an older beat gets the row that stands, and changes nothing.
    for seen in [0, 1, 3] {
        assert_eq!(leases.replace(seen, &claim(1, &instance(2), 8)).await, Ok(Some(stands.clone())));
    }
    // Released, and claimed by another through a session of its own.
    let released = Lease { shard: Shard(1), owner: None, epoch: 7, beat: 0 };
    assert_eq!(leases.replace(2, &released).await, Ok(None));
    let other = keyspace.open().await;
    assert_eq!(other.leases().await.unwrap()[1], Lease { beat: 3, ..released });
    assert_eq!(other.replace(3, &claim(1, &instance(2), 7)).await, Ok(None));
    assert_eq!(leases.leases().await.unwrap()[0], fresh(0), "other shards stay");
}

// proves: OPS-2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_claimants_at_once_one_wins() {
    let keyspace = Keyspace::new(1).await;
    let sessions = join_all((0..3).map(|_| keyspace.open())).await;
    for round in 0..10_u64 {
        let claims = (0..6_u16).map(|n| {
            let (leases, owner) = (sessions[usize::from(n) % 3].clone(), instance(n));
            tokio::spawn(
                async move { (leases.replace(round, &claim(0, &owner, round)).await.unwrap(), owner) },
            )
        });
        let outcomes: Vec<_> = join_all(claims).await.into_iter().map(Result::unwrap).collect();
        let winners: Vec<_> =
            outcomes.iter().filter(|(row, _)| row.is_none()).map(|(_, owner)| owner).collect();
        let [winner] = winners[..] else { panic!("round {round}: {outcomes:?}") };
        let stands = Lease { beat: round + 1, ..claim(0, winner, round) };
        assert!(
            outcomes.iter().all(|(row, _)| row.as_ref().is_none_or(|row| *row == stands)),
            "{outcomes:?}"
        );
        assert_eq!(sessions[0].leases().await, Ok(vec![stands]));
    }
}

// proves: OPS-2
#[tokio::test]
async fn an_announcement_stands_until_it_is_withdrawn_or_expires() {
    let keyspace = Keyspace::new(1).await;
    let leases = keyspace.open().await;
    assert_eq!(leases.instances().await, Ok(Vec::new()));
    let (staying, stopping, dying) = (instance(1), instance(2), instance(3));
    leases.announce(&staying, Duration::from_secs(600)).await.unwrap();
    leases.announce(&stopping, Duration::from_secs(600)).await.unwrap();
    let sorted = async || {
        let mut instances = leases.instances().await.unwrap();
        instances.sort_by(|a, b| a.address.cmp(&b.address));
        instances
    };
    let all = [staying.clone(), stopping.clone(), dying.clone()];
    // On a busy machine it may have expired before anybody looks.
    eventually("the third to be seen", SETTLES_WITHIN, async || {
        leases.announce(&dying, Duration::from_secs(2)).await.unwrap();
        (sorted().await == all).then_some(())
    })
    .await;
    leases.withdraw(stopping.id).await.unwrap();
    eventually("an announcement to expire", SETTLES_WITHIN, async || {
        (sorted().await == std::slice::from_ref(&staying)).then_some(())
    })
    .await;
}
