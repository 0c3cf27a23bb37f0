use domain::ports::leases::Instance;
use uuid::Uuid;

use super::*;

const ME: u128 = 1;
const OTHER: u128 = 2;
const FRESH: Duration = Duration::ZERO;
const SERVING: Local = Local::Serving { epoch: 3 };

fn id(n: u128) -> InstanceId {
    InstanceId(Uuid::from_u128(n))
}

fn config() -> LeaseConfig {
    LeaseConfig { beat: Duration::from_secs(1), lease: Duration::from_secs(4) }
}

fn planned(live: &[u128], rows: &[(Option<u128>, Duration, Local)]) -> Vec<Action> {
    let live: Vec<InstanceId> = live.iter().map(|n| id(*n)).collect();
    let leases: Vec<Lease> = (0..)
        .zip(rows)
        .map(|(n, (owner, ..))| Lease {
            shard: Shard(n),
            owner: owner.map(|n| Instance { id: id(n), address: format!("{n}:80") }),
            epoch: 3,
            beat: 9,
        })
        .collect();
    let shards =
        leases.iter().zip(rows).map(|(lease, (_, unchanged, local))| (lease, *unchanged, *local)).collect();
    plan(&View { me: id(ME), live: &live, shards }, &config()).actions
}

#[test]
fn own_rows_are_renewed_every_beat() {
    let due = Duration::from_millis(500);
    assert_eq!(planned(&[ME], &[(Some(ME), due, SERVING)]), [Action::Renew(Shard(0))]);
    assert_eq!(planned(&[ME], &[(Some(ME), FRESH, SERVING)]), []);
    assert_eq!(planned(&[ME], &[(Some(ME), due, Local::Acquiring)]), [Action::Renew(Shard(0))]);
    let other_epoch = Local::Serving { epoch: 4 };
    assert_eq!(planned(&[ME], &[(Some(ME), FRESH, other_epoch)]), [Action::Renew(Shard(0))]);
}

#[test]
fn a_row_of_ones_own_without_an_owner_is_taken_up_or_given_up() {
    assert_eq!(planned(&[ME], &[(Some(ME), FRESH, Local::Idle)]), [Action::Acquire(Shard(0))]);
    assert_eq!(planned(&[ME], &[(Some(ME), FRESH, Local::Released)]), [Action::GiveUp(Shard(0))]);
    assert_eq!(planned(&[ME], &[(Some(ME), FRESH, Local::Barred)]), [Action::GiveUp(Shard(0))]);
}

#[test]
fn an_owner_whose_row_is_anothers_yields() {
    assert_eq!(planned(&[ME, OTHER], &[(Some(OTHER), FRESH, SERVING)]), [Action::Yield(Shard(0))]);
    assert_eq!(planned(&[ME, OTHER], &[(Some(OTHER), FRESH, Local::Acquiring)]), [Action::Yield(Shard(0))]);
    assert_eq!(planned(&[ME, OTHER], &[(None, FRESH, SERVING)]), [Action::Claim(Shard(0))]);
}

#[test]
fn free_rows_are_claimed_at_once_up_to_the_share_and_later_beyond_it() {
    let none = (None, FRESH, Local::Idle);
    assert_eq!(planned(&[ME, OTHER], &[none; 4]), [Action::Claim(Shard(0)), Action::Claim(Shard(1))]);
    let left = (None, Duration::from_secs(4), Local::Idle);
    assert_eq!(planned(&[ME, OTHER], &[left; 4]).len(), 4);
    assert_eq!(planned(&[ME], &[(None, FRESH, Local::Barred)]), []);
}

#[test]
fn a_silent_owners_row_is_claimed_after_the_lease_and_no_earlier() {
    let row = |ms| [(Some(OTHER), Duration::from_millis(ms), Local::Idle)];
    assert_eq!(planned(&[ME], &row(3_999)), []);
    assert_eq!(planned(&[ME], &row(4_000)), [Action::Claim(Shard(0))]);
    // The owner is announced, so the shard is still its share.
    assert_eq!(planned(&[ME, OTHER], &[row(4_000)[0], (Some(ME), FRESH, SERVING)]), []);
    assert_eq!(
        planned(&[ME, OTHER], &[row(8_000)[0], (Some(ME), FRESH, SERVING)]),
        [Action::Claim(Shard(0))]
    );
}

#[test]
fn surplus_is_handed_over_one_at_a_time_and_only_to_somebody_who_has_less() {
    let mine = (Some(ME), FRESH, SERVING);
    assert_eq!(planned(&[ME, OTHER], &[mine; 4]), [Action::HandOver(Shard(3))]);
    let releasing = (Some(ME), FRESH, Local::Releasing);
    assert_eq!(planned(&[ME, OTHER], &[mine, mine, mine, releasing]), []);
    assert_eq!(planned(&[ME], &[mine; 4]), []);
    assert_eq!(planned(&[ME, OTHER], &[mine, mine, mine]), [Action::HandOver(Shard(2))]);
    assert_eq!(planned(&[ME, OTHER], &[mine, mine, (Some(OTHER), FRESH, Local::Idle)]), []);
}
