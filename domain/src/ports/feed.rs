//! The feed: decided events on their way to consumers, from any position.

use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;

use crate::event::RecordedEvent;
use crate::frame::{DecidedFrame, FrameId};
use crate::ports::log::LogError;
use crate::position::{Position, Seen};

/// Where the owner of a shard hands a frame over right after it was decided. Must not block: a slow consumer reads the log.
pub trait FanOut: Send + Sync + 'static {
    /// Takes over a decided frame. Frames of a shard come in order; after a change of owner some may come again.
    fn publish(&self, frame: Arc<DecidedFrame>);
}

/// A decided event on its way to a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEvent {
    /// The event.
    pub event: Arc<RecordedEvent>,
    /// The frame that holds it, by which a consumer can tell later whether the log is still the one that it was made from. `None`
    /// when the transport doesn't tell: the log does.
    pub frame: Option<FrameId>,
}

impl FeedEvent {
    /// The events of a frame, in order.
    pub fn all_of(frame: &DecidedFrame) -> impl Iterator<Item = Self> + '_ {
        frame.events.iter().map(|event| Self { event: Arc::clone(event), frame: Some(frame.id()) })
    }
}

impl From<Arc<RecordedEvent>> for FeedEvent {
    fn from(event: Arc<RecordedEvent>) -> Self {
        Self { event, frame: None }
    }
}

impl Deref for FeedEvent {
    type Target = RecordedEvent;

    fn deref(&self) -> &RecordedEvent {
        &self.event
    }
}

/// A source of decided events.
#[async_trait]
pub trait Feed: Send + Sync + 'static {
    /// Opens a reader that starts after the positions seen.
    ///
    /// # Errors
    /// [`LogError`].
    async fn subscribe(&self, group: &str, seen: &Seen) -> Result<Box<dyn FeedReader>, LogError>;

    /// The last position of every shard that this feed knows of; for lag.
    fn heads(&self) -> Vec<Position>;

    /// Whether the readers of a group, in all processes, share the shards among them.
    fn is_shared(&self) -> bool {
        false
    }
}

/// One consumer's place in the feed.
#[async_trait]
pub trait FeedReader: Send {
    /// The next events, in order within each shard, at least one; waits for it. Transports may repeat events and may leave
    /// gaps: the consumer applies P7. Cancel-safe.
    ///
    /// # Errors
    /// [`LogError`]; the reader stays usable.
    async fn next(&mut self) -> Result<Vec<FeedEvent>, LogError>;
}
