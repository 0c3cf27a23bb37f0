//! How far a shared log goes: looked up once a second, since other processes decide too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::ports::log::{LogError, LogReader};
use domain::position::{Position, Shard};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio_util::sync::CancellationToken;

/// How often the heads are looked up.
const EVERY: Duration = Duration::from_secs(1);
/// Shards looked up at once.
const AT_ONCE: usize = 4;
/// A look-up that takes longer counts as failed.
const WITHIN: Duration = Duration::from_secs(5);

/// The heads as they were at the last look.
pub(super) struct LogHeads(Mutex<State>);

struct State {
    heads: Vec<Position>,
    fault: Option<String>,
}

impl LogHeads {
    /// Looks once, and then again and again until the stop.
    ///
    /// # Errors
    /// [`LogError`] of the first look.
    pub(super) async fn start(
        log: Arc<dyn LogReader>,
        stop: CancellationToken,
    ) -> Result<Arc<Self>, LogError> {
        let heads = look(&*log).await?;
        let this = Arc::new(Self(Mutex::new(State { heads, fault: None })));
        let looking = Arc::clone(&this);
        tokio::spawn(async move {
            while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
                let Some(looked) = stop.run_until_cancelled(tokio::time::timeout(WITHIN, look(&*log))).await
                else {
                    return;
                };
                let mut state = looking.0.lock().unwrap_or_else(PoisonError::into_inner);
                match looked {
                    Ok(Ok(heads)) => *state = State { heads, fault: None },
                    Ok(Err(error)) => state.fault = Some(error.to_string()),
                    Err(_) => {
                        state.fault = Some(format!("the log doesn't answer within {} s", WITHIN.as_secs()))
                    }
                }
            }
        });
        Ok(this)
    }

    /// The last position of every shard, in shard order.
    pub(super) fn heads(&self) -> Vec<Position> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).heads.clone()
    }

    /// Why the last look failed.
    pub(super) fn fault(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fault.clone()
    }
}

async fn look(log: &dyn LogReader) -> Result<Vec<Position>, LogError> {
    let shards = (0..log.store().shards).map(Shard);
    stream::iter(shards.map(|shard| log.head(shard))).buffered(AT_ONCE).try_collect().await
}
