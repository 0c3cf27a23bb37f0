//! What a keeper does next with every shard, from the rows and what this process does with the shard. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::ports::leases::{InstanceId, Lease};
use domain::position::Shard;

use super::LeaseConfig;
use super::shares::shares;

/// What this process does with a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Local {
    /// Nothing.
    Idle,
    /// Takes it over.
    Acquiring,
    /// Owns it.
    Serving {
        /// Of its fence.
        epoch: u64,
    },
    /// Ends its owner; the row is to be given up afterwards.
    Releasing,
    /// Has ended its owner; the row is to be given up.
    Released,
    /// Stays away from it for a while: it was deposed, or couldn't take it over.
    Barred,
}

/// One step of a keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Write the row again, so that its beat grows.
    Renew(Shard),
    /// Write the own name into the row, and take the shard over.
    Claim(Shard),
    /// Take the shard over: the row has the own name already.
    Acquire(Shard),
    /// Take the own name out of the row.
    GiveUp(Shard),
    /// End the owner: another process has the row.
    Yield(Shard),
    /// End the owner, to give the row up afterwards: another process owns too few.
    HandOver(Shard),
}

/// What a plan is made of.
pub(super) struct View<'a> {
    pub(super) me: InstanceId,
    /// The processes announced, this one included.
    pub(super) live: &'a [InstanceId],
    /// The rows in shard order, how long each has been unchanged, and what this process does with the shard.
    pub(super) shards: Vec<(&'a Lease, Duration, Local)>,
}

/// What to do now, and whether this process owns fewer or more shards than it should.
pub(super) struct LeasePlan {
    pub(super) actions: Vec<Action>,
    pub(super) unbalanced: bool,
}

/// Whether nobody owns the shard, and since when that could have been claimed.
fn free_for(lease: &Lease, unchanged: Duration, config: &LeaseConfig) -> Option<Duration> {
    match &lease.owner {
        None => Some(unchanged),
        Some(_) => unchanged.checked_sub(config.lease),
    }
}

pub(super) fn plan(view: &View<'_>, config: &LeaseConfig) -> LeasePlan {
    let mut actions = Vec::new();
    let mut owned: BTreeMap<InstanceId, usize> = view.live.iter().map(|id| (*id, 0)).collect();
    owned.entry(view.me).or_default();
    let mut free = Vec::new();
    let mut handing_over = false;
    for (lease, unchanged, local) in &view.shards {
        let shard = lease.shard;
        let owner = lease.owner.as_ref().map(|instance| instance.id);
        handing_over |= matches!(local, Local::Releasing | Local::Released);
        if owner == Some(view.me) {
            if !matches!(local, Local::Releasing | Local::Released | Local::Barred) {
                *owned.entry(view.me).or_default() += 1;
            }
            match local {
                Local::Idle => actions.push(Action::Acquire(shard)),
                Local::Serving { epoch } if *epoch != lease.epoch => actions.push(Action::Renew(shard)),
                Local::Serving { .. } | Local::Acquiring if *unchanged >= config.beat / 2 => {
                    actions.push(Action::Renew(shard));
                }
                Local::Serving { .. } | Local::Acquiring | Local::Releasing => {}
                Local::Released | Local::Barred => actions.push(Action::GiveUp(shard)),
            }
            continue;
        }
        let since = free_for(lease, *unchanged, config);
        match (local, since) {
            // It serves already: only the row is missing.
            (Local::Serving { .. } | Local::Acquiring, Some(_)) => actions.push(Action::Claim(shard)),
            (Local::Serving { .. } | Local::Acquiring, None) => actions.push(Action::Yield(shard)),
            (Local::Idle, Some(since)) => free.push((shard, since)),
            _ => {}
        }
        if since.is_none()
            && let Some(count) = owner.and_then(|id| owned.get_mut(&id))
        {
            *count += 1;
        }
    }
    let shares = shares(view.shards.len(), &owned);
    let of = |map: &BTreeMap<InstanceId, usize>, id: &InstanceId| map.get(id).copied().unwrap_or_default();
    let (mine, share) = (of(&owned, &view.me), of(&shares, &view.me));
    let mut room = share.saturating_sub(mine);
    let free_shards = free.len();
    for (shard, since) in free {
        // Beyond the share only what others have left for one more lease time.
        if room > 0 || since >= config.lease {
            room = room.saturating_sub(1);
            actions.push(Action::Claim(shard));
        }
    }
    let missing: usize =
        shares.iter().filter(|(id, _)| **id != view.me).map(|(id, n)| n.saturating_sub(of(&owned, id))).sum();
    if mine > share && missing > free_shards && !handing_over {
        let serving = view.shards.iter().rev().find_map(|(lease, _, local)| {
            let owner = lease.owner.as_ref().map(|instance| instance.id);
            (owner == Some(view.me) && matches!(local, Local::Serving { .. })).then_some(lease.shard)
        });
        actions.extend(serving.map(Action::HandOver));
    }
    LeasePlan { actions, unbalanced: mine < share || (mine > share && missing > 0) }
}

#[cfg(test)]
mod tests;
