//! The comparison in the background of a process that runs projections.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::Timestamp;
use domain::ports::clock::Clock;
use domain::position::{Seen, Shard};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Conservation, Depth, ShardReport};

/// How long copies that are behind are waited for.
const WITHIN: Duration = Duration::from_secs(10);
/// The first comparison goes back so many events of every shard; `tillstream conservation` compares all.
const FIRST: u64 = 10_000;

/// What the last comparison found.
#[derive(Debug, Clone, Serialize)]
pub struct Watched {
    /// When it ended.
    #[serde(serialize_with = "domain::event::serialize_wire_time")]
    pub at: Timestamp,
    /// Every shard.
    pub shards: Vec<ShardReport>,
    /// Why it couldn't be done; the shards are those of the one before.
    pub fault: Option<String>,
}

impl Watched {
    /// What is wrong, by shard where it is of one.
    pub fn faults(&self) -> impl Iterator<Item = (Option<Shard>, String)> + '_ {
        let differences = self.shards.iter().filter_map(|shard| {
            let found = shard.difference.as_ref()?;
            Some((
                Some(shard.head.shard),
                format!("{} differs from the log at {}: {}", found.copy, found.position, found.reason),
            ))
        });
        let fault =
            self.fault.iter().map(|why| (None, format!("the copies of the events can't be compared: {why}")));
        differences.chain(fault)
    }
}

/// Compares again and again, each time what is new.
#[derive(Clone, Default)]
pub struct Watch(Arc<Mutex<Option<Watched>>>);

impl Watch {
    /// Starts to compare, every so often until the stop.
    #[must_use]
    pub fn start(
        conservation: Conservation,
        every: Duration,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Self {
        let this = Self::default();
        let told = this.clone();
        tokio::spawn(async move {
            let mut done: Option<Seen> = None;
            while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
                let Some(()) = stop.run_until_cancelled(told.look(&conservation, &mut done, &*clock)).await
                else {
                    return;
                };
            }
        });
        this
    }

    async fn look(&self, conservation: &Conservation, done: &mut Option<Seen>, clock: &dyn Clock) {
        let since = match done.as_ref() {
            Some(done) => done.clone(),
            None => match conservation.recent(FIRST).await {
                Ok(since) => since,
                Err(error) => return self.tell(Err(error.to_string()), clock),
            },
        };
        match conservation.check(Depth::Since(&since), WITHIN).await {
            Ok(shards) => {
                let mut seen = since;
                for shard in &shards {
                    match &shard.difference {
                        None => seen.advance(shard.head),
                        Some(found) => tracing::error!(
                            position = %found.position, copy = found.copy, reason = found.reason,
                            "a copy of the events differs from the log"
                        ),
                    }
                }
                *done = Some(seen);
                self.tell(Ok(shards), clock);
            }
            Err(error) => {
                tracing::warn!(%error, "the copies of the events can't be compared now");
                self.tell(Err(error.to_string()), clock);
            }
        }
    }

    fn tell(&self, found: Result<Vec<ShardReport>, String>, clock: &dyn Clock) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.take().map(|last| last.shards).unwrap_or_default();
        let (shards, fault) = match found {
            Ok(shards) => (shards, None),
            Err(reason) => (before, Some(reason)),
        };
        *last = Some(Watched { at: clock.now(), shards, fault });
    }

    /// What the last comparison found; `None` before the first one.
    #[must_use]
    pub fn last(&self) -> Option<Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
