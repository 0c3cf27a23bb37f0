//! When to repeat what failed: capped exponential pauses with jitter.

use std::time::Duration;

/// The pause after so many failures in a row.
pub(super) fn pause(first: Duration, longest: Duration, failures: u32) -> Duration {
    let full = first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(longest);
    full.mul_f64(rand::random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(1));
        let pauses: Vec<Duration> = (1..=20).map(|failures| pause(first, longest, failures)).collect();
        assert!(pauses[0] >= first / 2 && pauses[0] < first);
        assert!(pauses.iter().all(|pause| *pause < longest));
        assert!(pauses[19] >= longest / 2);
    }
}
