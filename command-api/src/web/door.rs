//! The door: how many requests may be in progress. Who comes when it is full is told so before anything is done for them, so that those
//! inside are served in time and everybody else knows at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::Method;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests in progress at once, unless configured otherwise.
pub const DEFAULT_MOST: usize = 1_024;

/// A bound on the requests in progress. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct Door(Arc<Places>);

#[derive(Debug)]
struct Places {
    most: usize,
    all: Arc<Semaphore>,
    /// Those that change something wait for the log; a slow one must leave room for those that read.
    changing: Arc<Semaphore>,
    turned_away: AtomicU64,
}

/// A place inside; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Inside {
    _place: OwnedSemaphorePermit,
    _changing: Option<OwnedSemaphorePermit>,
}

impl Door {
    /// A door that lets so many in at once, at least four; of them three quarters may be commands.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let most = most.clamp(4, Semaphore::MAX_PERMITS);
        Self(Arc::new(Places {
            most,
            all: Arc::new(Semaphore::new(most)),
            changing: Arc::new(Semaphore::new(most / 4 * 3)),
            turned_away: AtomicU64::new(0),
        }))
    }

    /// A place for a request; none when too many are in progress.
    pub(crate) fn enter(&self, method: &Method) -> Option<Inside> {
        let entered = self.try_enter(!method.is_safe());
        if entered.is_none() {
            self.0.turned_away.fetch_add(1, Ordering::Relaxed);
        }
        entered
    }

    fn try_enter(&self, changes: bool) -> Option<Inside> {
        let changing = match changes {
            true => Some(Arc::clone(&self.0.changing).try_acquire_owned().ok()?),
            false => None,
        };
        let place = Arc::clone(&self.0.all).try_acquire_owned().ok()?;
        Some(Inside { _place: place, _changing: changing })
    }

    /// How many requests are in progress.
    #[must_use]
    pub fn inside(&self) -> usize {
        self.0.most - self.0.all.available_permits()
    }

    /// How many requests may be.
    #[must_use]
    pub fn most(&self) -> usize {
        self.0.most
    }

    /// How many were turned away since the start.
    #[must_use]
    pub fn turned_away(&self) -> u64 {
        self.0.turned_away.load(Ordering::Relaxed)
    }
}

impl Default for Door {
    fn default() -> Self {
        Self::new(DEFAULT_MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: SEC-10
    #[test]
    fn so_many_are_inside_and_commands_leave_room_for_queries() {
        let door = Door::new(8);
        let commands: Vec<_> = std::iter::from_fn(|| door.enter(&Method::PUT)).collect();
        assert_eq!((commands.len(), door.inside()), (6, 6));
        let queries: Vec<_> = std::iter::from_fn(|| door.enter(&Method::GET)).collect();
        assert_eq!((queries.len(), door.inside(), door.turned_away()), (2, 8, 2));
        drop(queries);
        assert!(door.enter(&Method::POST).is_none(), "what is left is for queries");
        drop(commands);
        assert_eq!(door.inside(), 0);
        assert!(door.enter(&Method::POST).is_some());
    }
}
