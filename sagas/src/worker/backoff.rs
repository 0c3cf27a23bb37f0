//! When to repeat what failed: capped exponential pauses with jitter.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::WorkKey;

pub(super) struct Backoff {
    pause: Duration,
    longest: Duration,
    failed: HashMap<WorkKey, (u32, Instant)>,
}

impl Backoff {
    pub(super) fn new(pause: Duration, longest: Duration) -> Self {
        Self { pause, longest, failed: HashMap::new() }
    }

    /// Notes a failure; answers how often it has failed in a row.
    pub(super) fn failed(&mut self, key: WorkKey) -> u32 {
        let tries = self.tries(&key).saturating_add(1);
        let full = self.pause.saturating_mul(2_u32.saturating_pow(tries - 1)).min(self.longest);
        let pause = full.mul_f64(rand::random_range(0.5..1.0));
        self.failed.insert(key, (tries, Instant::now() + pause));
        tries
    }

    pub(super) fn tries(&self, key: &WorkKey) -> u32 {
        self.failed.get(key).map_or(0, |(tries, _)| *tries)
    }

    pub(super) fn is_due(&self, key: &WorkKey) -> bool {
        self.failed.get(key).is_none_or(|(_, at)| *at <= Instant::now())
    }

    pub(super) fn forget(&mut self, key: &WorkKey) {
        self.failed.remove(key);
    }

    pub(super) fn keep_only(&mut self, open: &HashSet<WorkKey>) {
        self.failed.retain(|key, _| open.contains(key));
    }

    pub(super) fn len(&self) -> usize {
        self.failed.len()
    }

    /// When the next repeat is due that wasn't at `looked`: perhaps by now, while the queue was read.
    pub(super) fn next(&self, looked: Instant) -> Option<Instant> {
        self.failed.values().map(|(_, at)| *at).filter(|at| *at > looked).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let key = ("default".to_owned(), "work".to_owned());
        let mut last = Duration::ZERO;
        for tries in 1..=20 {
            assert_eq!(backoff.failed(key.clone()), tries);
            assert!(!backoff.is_due(&key));
            last = backoff.next(Instant::now()).unwrap() - Instant::now();
            assert!(last <= Duration::from_secs(1));
        }
        assert!(last >= Duration::from_millis(500));
        let looked = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(backoff.is_due(&key));
        // What became due while the queue was read is not left to the next poll.
        assert!(backoff.next(looked).is_some_and(|at| at < Instant::now()));
        assert_eq!(backoff.next(Instant::now()), None);
        backoff.forget(&key);
        assert_eq!((backoff.tries(&key), backoff.len()), (0, 0));
    }
}
