//! Which connections are served, which are told that there is no room, and which are dropped.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::sections::Http;

/// Connections that are told at once, for each that may be served. They cost little: one small task with two small buffers.
const TOLD_PER_SERVED: usize = 4;

/// The connections of one listener. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Admission(Arc<AdmissionShared>);

#[derive(Debug)]
struct AdmissionShared {
    most: usize,
    per_peer: usize,
    open: Mutex<Open>,
    told: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Open {
    served: usize,
    told: usize,
    peers: HashMap<IpAddr, Peer>,
}

/// What one peer has open.
#[derive(Debug, Default)]
struct Peer {
    served: usize,
    told: usize,
}

/// What becomes of a connection.
#[derive(Debug)]
pub(crate) enum Admitted {
    /// Its requests are answered.
    Served(ConnectionPlace),
    /// It learns that there is no room.
    Told(ConnectionPlace),
    /// It is closed: there isn't even room to tell it.
    Dropped,
}

/// A connection's place; dropping it makes room.
#[derive(Debug)]
pub(crate) struct ConnectionPlace {
    admission: Admission,
    peer: IpAddr,
    served: bool,
}

impl Admission {
    /// Room as configured, and as far as the process may open files.
    pub(crate) fn new(config: &Http) -> Self {
        let files = super::open_files::most();
        let most = usize::try_from(config.max_connections).unwrap_or(usize::MAX).clamp(1, files / 8);
        Self::of(most, usize::try_from(config.max_connections_per_peer).unwrap_or(usize::MAX))
    }

    /// Room for so many.
    pub(crate) fn of(most: usize, per_peer: usize) -> Self {
        let per_peer = per_peer.clamp(1, most);
        let open = Mutex::default();
        Self(Arc::new(AdmissionShared {
            most,
            per_peer,
            open,
            told: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }))
    }

    /// A place for a connection.
    pub(crate) fn enter(&self, peer: IpAddr) -> Admitted {
        let (shared, peer) = (&self.0, key(peer));
        let most_told = shared.most.saturating_mul(TOLD_PER_SERVED);
        let mut guard = self.open();
        let open = &mut *guard;
        let (served, told) = open.peers.get(&peer).map_or((0, 0), |of| (of.served, of.told));
        if open.served < shared.most && served < shared.per_peer {
            open.served += 1;
            open.peers.entry(peer).or_default().served += 1;
            return Admitted::Served(ConnectionPlace { admission: self.clone(), peer, served: true });
        }
        // Half of them, so that a crowd from one address doesn't keep others from being told.
        if open.told < most_told && told < most_told / 2 {
            open.told += 1;
            open.peers.entry(peer).or_default().told += 1;
            shared.told.fetch_add(1, Ordering::Relaxed);
            return Admitted::Told(ConnectionPlace { admission: self.clone(), peer, served: false });
        }
        shared.dropped.fetch_add(1, Ordering::Relaxed);
        Admitted::Dropped
    }

    /// How many are served now.
    pub(crate) fn served(&self) -> usize {
        self.open().served
    }

    /// How many were told since the start that there is no room.
    pub(crate) fn told(&self) -> u64 {
        self.0.told.load(Ordering::Relaxed)
    }

    /// How many were closed since the start without a word.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut guard = self.admission.open();
        let open = &mut *guard;
        let of_peer = open.peers.entry(self.peer).or_default();
        let (all, own) = match self.served {
            true => (&mut open.served, &mut of_peer.served),
            false => (&mut open.told, &mut of_peer.told),
        };
        *all = all.saturating_sub(1);
        *own = own.saturating_sub(1);
        if of_peer.served + of_peer.told == 0 {
            open.peers.remove(&self.peer);
        }
    }
}

/// Who counts as one peer: an IPv4 address, or an IPv6 network of 64 bits, which one host can have to itself.
fn key(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(admission: &Admission, peer: &str, times: usize) -> (Vec<Admitted>, [usize; 3]) {
        let all: Vec<_> = (0..times).map(|_| admission.enter(peer.parse().unwrap())).collect();
        let mut counts = [0; 3];
        for one in &all {
            match one {
                Admitted::Served(_) => counts[0] += 1,
                Admitted::Told(_) => counts[1] += 1,
                Admitted::Dropped => counts[2] += 1,
            }
        }
        (all, counts)
    }

    // proves: SEC-10
    #[test]
    fn one_peer_can_t_take_the_places_of_all_others() {
        let admission = Admission::of(10, 4);
        let (crowd, counts) = outcomes(&admission, "192.0.2.1", 50);
        assert_eq!(counts, [4, 20, 26]);
        let (others, counts) = outcomes(&admission, "192.0.2.2", 3);
        assert_eq!(counts, [3, 0, 0]);
        // One of many addresses is one peer.
        let (_third, counts) = outcomes(&admission, "2001:db8:1:2::1", 1);
        assert_eq!(counts, [1, 0, 0]);
        let (_fourth, counts) = outcomes(&admission, "2001:db8:1:2:ffff::1", 3);
        assert_eq!(counts, [2, 1, 0], "full");
        let (_, counts) = outcomes(&admission, "::ffff:192.0.2.2", 1);
        assert_eq!(counts, [0, 1, 0], "the same as 192.0.2.2");
        assert_eq!((admission.served(), admission.dropped()), (10, 26));
        drop((crowd, others));
        let (_all, counts) = outcomes(&admission, "192.0.2.1", 4);
        assert_eq!(counts, [4, 0, 0], "places are given back");
        drop((_all, _third, _fourth));
        assert_eq!(admission.served(), 0);
        assert!(admission.open().peers.is_empty(), "nobody is remembered for ever");
    }
}
