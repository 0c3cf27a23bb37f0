//! How long to wait before what failed is tried again.

use std::time::Duration;

/// The pause after so many failures in a row: `first`, doubled with each further failure, `longest` at most.
#[must_use]
pub fn after(failures: u32, first: Duration, longest: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(longest)
}

/// The pauses of one retry, without end: whoever retries says when to give up, and what cuts a pause short.
#[derive(Debug, Clone)]
pub struct Pauses {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Pauses {
    /// From the first pause to the longest.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// The pause after a further failure.
    pub fn further(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        after(self.failures, self.first, self.longest)
    }

    /// Begins with the first pause again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut pauses = Pauses::new(Duration::from_millis(10), Duration::from_millis(35));
        let mut millis = |count| (0..count).map(|_| pauses.further().as_millis()).collect::<Vec<_>>();
        assert_eq!(millis(4), [10, 20, 35, 35]);
        pauses.reset();
        assert_eq!(pauses.further().as_millis(), 10);
        for (first, longest) in [(1, 0), (1, 1), (u64::MAX, u64::MAX)] {
            let [first, longest] = [first, longest].map(Duration::from_secs);
            assert_eq!(after(u32::MAX, first, longest), longest);
            assert_eq!(after(1, first, longest), first.min(longest));
        }
    }
}
