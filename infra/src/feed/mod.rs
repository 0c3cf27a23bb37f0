//! The in-process feed: the tail of the log in memory, and the log itself for who is behind.
//!
//! A shard keeps its latest decided frames in a bounded ring. A reader takes what it needs from there, or pages it from the log when
//! the ring has gone on without it; nobody waits for a slow reader, and a slow reader loses nothing.

mod reader;
pub mod ring;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use domain::frame::DecidedFrame;
use domain::ports::feed::{FanOut, Feed, FeedReader};
use domain::ports::log::{LogError, LogReader};
use domain::position::{Position, Seen, Shard};

use self::reader::InProcessReader;
use self::ring::Rings;

/// All rings together keep about this much.
const RING_BYTES: usize = 32 << 20;

/// The feed of a process that owns every shard.
pub struct InProcessFeed {
    inner: Arc<FeedInner>,
}

struct FeedInner {
    log: Arc<dyn LogReader>,
    rings: Rings,
}

impl InProcessFeed {
    /// A feed over a log whose shards end at `heads` (one position per shard, in shard order). Everything decided later must be
    /// published.
    #[must_use]
    pub fn new(log: Arc<dyn LogReader>, heads: &[Position]) -> Self {
        Self { inner: Arc::new(FeedInner { log, rings: Rings::new(heads, RING_BYTES) }) }
    }

    /// About how much of the latest frames it keeps in memory, bytes.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.inner.rings.bytes()
    }

    /// A feed over a log to which nobody writes yet: it finds the heads.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn open(log: Arc<dyn LogReader>) -> Result<Self, LogError> {
        let heads = find_heads(&*log).await?;
        Ok(Self::new(log, &heads))
    }
}

/// The last decided position of every shard, in shard order.
///
/// # Errors
/// [`LogError`].
pub async fn find_heads(log: &dyn LogReader) -> Result<Vec<Position>, LogError> {
    let mut heads = Vec::new();
    for shard in (0..log.store().shards).map(Shard) {
        heads.push(log.head(shard).await?);
    }
    Ok(heads)
}

impl FanOut for InProcessFeed {
    fn publish(&self, frame: Arc<DecidedFrame>) {
        self.inner.rings.publish(frame);
    }
}

#[async_trait]
impl Feed for InProcessFeed {
    async fn subscribe(&self, _group: &str, seen: &Seen) -> Result<Box<dyn FeedReader>, LogError> {
        Ok(Box::new(InProcessReader::new(self.inner.clone(), seen)))
    }

    fn heads(&self) -> Vec<Position> {
        let shards = (0..self.inner.log.store().shards).map(Shard);
        shards.map(|shard| Position { shard, n: self.inner.rings.head(shard) }).collect()
    }
}
