//! How many searches run at once: what one search may cost is bounded (see [`crate::text_query`]), and so is what all of them take
//! from the rest of the process. Whoever comes while all places are taken waits for a while, and not with many others.

use std::sync::Arc;
use std::time::Duration;

use projections::engine::read_models::ReadError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Searches that run at once, per core.
const PER_CORE: usize = 2;
/// Searches that wait for their turn, for each that runs.
const WAITING: usize = 16;
/// How long one waits for its turn.
const WAIT: Duration = Duration::from_secs(2);
/// How long one may take.
pub(crate) const TIME: Duration = Duration::from_secs(10);

/// The places of the searches of one index.
#[derive(Debug, Clone)]
pub(crate) struct SearchGate {
    running: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

/// A place, held until the search really ends: when its client has left it may still have to notice that.
#[derive(Debug)]
pub(crate) struct Turn {
    _running: OwnedSemaphorePermit,
}

impl SearchGate {
    /// As many places as the machine's cores can serve.
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::of(cores * PER_CORE)
    }

    fn of(places: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(places)),
            all: Arc::new(Semaphore::new(places + places * WAITING)),
        }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`ReadError::Overloaded`] when too many wait already, and when none comes free in time.
    pub(crate) async fn enter(&self) -> Result<Turn, ReadError> {
        let _waiting = self.all.try_acquire().map_err(|_| ReadError::Overloaded)?;
        let turn = tokio::time::timeout(WAIT, Arc::clone(&self.running).acquire_owned()).await;
        let turn = turn.map_err(|_| ReadError::Overloaded)?;
        Ok(Turn { _running: turn.map_err(|e| ReadError::Unavailable(e.to_string()))? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: SEC-10
    #[tokio::test(start_paused = true)]
    async fn who_finds_all_places_taken_waits_for_a_bounded_time_with_a_bounded_number_of_others() {
        let gate = SearchGate::of(2);
        let first = gate.enter().await.unwrap();
        let _second = gate.enter().await.unwrap();
        assert_eq!(gate.enter().await.map(|_| ()), Err(ReadError::Overloaded), "none came free");

        let waiting: Vec<_> = (0..200)
            .map(|_| {
                let gate = gate.clone();
                tokio::spawn(async move { gate.enter().await.map(|_| ()) })
            })
            .collect();
        tokio::task::yield_now().await;
        drop(first);
        let mut served = 0;
        for one in waiting {
            served += usize::from(one.await.unwrap().is_ok());
        }
        assert_eq!(served, 2 + 2 * WAITING);
        // Who gave up left no place taken.
        gate.enter().await.unwrap();
    }
}
