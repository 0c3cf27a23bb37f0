//! Fair shares: of N shards and L live processes every one gets N / L, and N mod L of them one more. Who owns more already keeps it,
//! so that as few shards as possible move. Processes that see the same rows come to the same shares.

use std::collections::BTreeMap;

use domain::ports::leases::InstanceId;

/// How many shards every live process should own, given how many each one owns.
pub(super) fn shares(shards: usize, owned: &BTreeMap<InstanceId, usize>) -> BTreeMap<InstanceId, usize> {
    let live = owned.len().max(1);
    let (each, extra) = (shards / live, shards % live);
    let mut order: Vec<(&InstanceId, &usize)> = owned.iter().collect();
    order.sort_by_key(|(id, count)| (std::cmp::Reverse(**count), **id));
    order.into_iter().enumerate().map(|(i, (id, _))| (*id, each + usize::from(i < extra))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn owned(counts: &[usize]) -> BTreeMap<InstanceId, usize> {
        (1..).map(|n| InstanceId(Uuid::from_u128(n))).zip(counts.iter().copied()).collect()
    }

    fn of(shards: usize, counts: &[usize]) -> Vec<usize> {
        shares(shards, &owned(counts)).into_values().collect()
    }

    #[test]
    fn who_owns_more_keeps_the_odd_one() {
        assert_eq!(of(16, &[0, 0, 0]), [6, 5, 5]);
        assert_eq!(of(16, &[5, 5, 6]), [5, 5, 6]);
        assert_eq!(of(16, &[4, 4, 4, 4, 0]), [4, 3, 3, 3, 3]);
        assert_eq!(of(16, &[16, 0]), [8, 8]);
        assert_eq!(of(1, &[0, 1, 0]), [0, 1, 0]);
        assert_eq!(of(16, &[3]), [16]);
    }

    proptest! {
        #[test]
        fn shares_are_fair_and_add_up(shards in 1_usize..64, counts in prop::collection::vec(0_usize..64, 1..9)) {
            let shares = of(shards, &counts);
            prop_assert_eq!(shares.iter().sum::<usize>(), shards);
            prop_assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }
    }
}
