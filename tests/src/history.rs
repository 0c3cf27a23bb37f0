//! What happened in a test that draws its faults: told on standard error, with the seed, when the test fails.

use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// The story of one round. Clones tell the same one; the [`Round`] reports it at its end.
#[derive(Debug, Clone)]
pub struct History(Arc<Inner>);

/// One round: when it is dropped, it reports, and tells its whole story when the test fails.
#[derive(Debug)]
pub struct Round(History);

impl Deref for Round {
    type Target = History;

    fn deref(&self) -> &History {
        &self.0
    }
}

#[derive(Debug)]
struct Inner {
    title: String,
    seed: u64,
    began: Instant,
    lines: Mutex<Vec<String>>,
}

impl History {
    /// A story that has just begun.
    #[must_use]
    pub fn begin(title: &str, seed: u64) -> Round {
        let inner = Inner { title: title.to_owned(), seed, began: Instant::now(), lines: Mutex::default() };
        let history = Self(Arc::new(inner));
        history.tell(format!("{title}, seed {seed}"));
        Round(history)
    }

    /// What draws the faults: the same for the same seed.
    #[must_use]
    pub fn dice(&self) -> StdRng {
        StdRng::seed_from_u64(self.0.seed)
    }

    /// Something happened.
    pub fn tell(&self, what: impl Into<String>) {
        let line = format!("{:>9.3} s  {}", self.0.began.elapsed().as_secs_f64(), what.into());
        self.0.lines.lock().expect("no panic").push(line);
    }

    /// Nanoseconds since it began.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        let inner = &self.0.0;
        let lines = inner.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let seconds = inner.began.elapsed().as_secs_f64();
        if std::thread::panicking() {
            report(&format!(
                "\n{} failed after {seconds:.1} s. To draw the same faults again: TILLSTREAM_FAULT_SEED={}\n{}",
                inner.title,
                inner.seed,
                lines.join("\n")
            ));
        } else {
            report(&format!("{} held, seed {}, {seconds:.1} s", inner.title, inner.seed));
        }
    }
}

#[expect(clippy::print_stderr, reason = "the output of a test")]
fn report(what: &str) {
    eprintln!("{what}");
}

/// The seeds of the rounds to play: `TILLSTREAM_FAULT_SEED` alone, or else as many new ones as `TILLSTREAM_FAULT_ROUNDS` says, 1 by
/// default.
///
/// # Panics
/// When one of them is no number.
#[must_use]
pub fn seeds() -> Vec<u64> {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is a number")))
    };
    match (number("TILLSTREAM_FAULT_SEED"), number("TILLSTREAM_FAULT_ROUNDS")) {
        (Some(seed), _) => vec![seed],
        (None, rounds) => (0..rounds.unwrap_or(1)).map(|_| rand::random()).collect(),
    }
}
