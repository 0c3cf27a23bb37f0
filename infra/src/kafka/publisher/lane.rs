//! The task that publishes one shard.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use domain::frame::DecidedFrame;
use domain::pauses::Pauses;
use domain::ports::log::LogError;
use domain::ports::walk::Walk;
use domain::position::Position;
use futures::FutureExt as _;

use super::inbox::PublisherWork;
use super::producer::{Ended, Generation};
use super::{PublisherShared, ShardQueue};
use crate::kafka::Error;

/// A page read from the log.
const PAGE_FRAMES: usize = 256;
const PAGE_BYTES: usize = 1 << 20;
/// After errors.
const PAUSES: Pauses = Pauses::new(Duration::from_millis(50), Duration::from_secs(2));

pub(super) struct Lane {
    shared: Arc<PublisherShared>,
    queue: Arc<ShardQueue>,
}

/// A run of publishing by one producer in one epoch.
struct Course {
    generation: Arc<Generation>,
    epoch: u64,
    /// The next position to publish.
    next: u64,
}

/// Why a course, or its beginning, broke off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the producer has ended")]
    Producer,
    #[error("publishing panicked")]
    Panicked,
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Kafka(#[from] Error),
}

impl From<Ended> for Broken {
    fn from(_: Ended) -> Self {
        Self::Producer
    }
}

impl Lane {
    pub(super) fn new(shared: Arc<PublisherShared>, queue: Arc<ShardQueue>) -> Self {
        Self { shared, queue }
    }

    /// Publishes until the stop. A shard that this process has never owned is left alone.
    pub(super) async fn run(self) {
        let mut pauses = PAUSES;
        while self.wait_for_the_first_frame().await {
            let done = tokio::select! {
                // Nobody else would publish the shard for as long as this process owns it.
                done = AssertUnwindSafe(self.publish(&mut pauses)).catch_unwind() => {
                    done.unwrap_or(Err(Broken::Panicked))
                }
                () = self.shared.end.cancelled() => return,
            };
            match done {
                Ok(Done::NewOwner) => continue,
                Ok(Done::Stopped) => return,
                Err(Broken::Producer) => tracing::debug!(shard = %self.queue.shard, "the producer has ended"),
                Err(error) => {
                    tracing::warn!(shard = %self.queue.shard, %error, "can't publish yet; consumers read the log");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pauses.further()) => {}
                () = self.shared.end.cancelled() => return,
            }
        }
    }

    /// False when the stop came first.
    async fn wait_for_the_first_frame(&self) -> bool {
        while self.queue.inbox(|inbox| inbox.known().frame) == 0 {
            tokio::select! {
                () = self.queue.woken.notified() => {}
                () = self.shared.stop.cancelled() => return false,
            }
        }
        true
    }

    async fn publish(&self, pauses: &mut Pauses) -> Result<Done, Broken> {
        let mut course = self.begin().await?;
        tracing::debug!(shard = %self.queue.shard, next = course.next, epoch = course.epoch, "publishing");
        loop {
            match self.queue.inbox(|inbox| inbox.work(course.next, course.epoch)) {
                PublisherWork::Frame(frame) => {
                    self.send(&mut course, &frame).await?;
                    pauses.reset();
                }
                PublisherWork::Log(until) => self.send_from_log(&mut course, until).await?,
                PublisherWork::NewOwner => return Ok(Done::NewOwner),
                PublisherWork::Nothing if self.shared.stop.is_cancelled() => return self.end(&course).await,
                PublisherWork::Nothing => tokio::select! {
                    () = self.queue.woken.notified() => {}
                    () = course.generation.acks.failed.cancelled() => return Err(Broken::Producer),
                    () = self.shared.stop.cancelled() => {}
                },
            }
        }
    }

    /// Stays until what was sent has arrived, since after an error it is to be sent again.
    async fn end(&self, course: &Course) -> Result<Done, Broken> {
        course.generation.acks.settled().await;
        if course.generation.acks.failed.is_cancelled() { Err(Broken::Producer) } else { Ok(Done::Stopped) }
    }

    /// Where publishing begins: after the partition's last record; in an empty one after what the log says was published.
    async fn begin(&self) -> Result<Course, Broken> {
        let shard = self.queue.shard;
        let mut renewals = self.shared.generation.clone();
        // The old producer is closed before a new one appears, so the last record is the last for good.
        let generation = renewals.wait_for(|generation| !generation.acks.failed.is_cancelled()).await;
        let generation = Arc::clone(&*generation.map_err(|_| Broken::Producer)?);
        let epoch = self.queue.inbox(|inbox| inbox.known().epoch);
        let next = match self.shared.tails.last(shard).await? {
            Some(last) => {
                self.expect_in_log(last).await?;
                last + 1
            }
            None => {
                let through = self.shared.log.progress(shard).await?.published_through;
                self.position_after(through).await?
            }
        };
        Ok(Course { generation, epoch, next })
    }

    /// Refuses to go on after a record that the log doesn't hold: what is decided now would never be published.
    async fn expect_in_log(&self, last: u64) -> Result<(), Broken> {
        let (shard, log) = (self.queue.shard, &self.shared.log);
        let position = Position { shard, n: last };
        if log.head(shard).await?.n < last {
            return Err(Error::Ahead { topic: self.shared.url.topic().to_owned(), position }.into());
        }
        Ok(())
    }

    async fn position_after(&self, frame: u64) -> Result<u64, LogError> {
        if frame == 0 {
            return Ok(1);
        }
        let rows = self.shared.log.read_frames(self.queue.shard, frame, 1, 0).await?;
        // A frame that the log doesn't have was never published, whatever a derived row claims.
        rows.first().map_or(Ok(1), |row| Ok(self.decode(row)?.header.last_position() + 1))
    }

    fn decode(&self, row: &[u8]) -> Result<DecidedFrame, LogError> {
        DecidedFrame::decode(row).map_err(|error| {
            LogError::Corrupt(format!("a frame of shard {}", self.queue.shard), error.to_string())
        })
    }

    /// Sends the frame's events from the next position on.
    async fn send(&self, course: &mut Course, frame: &DecidedFrame) -> Result<(), Broken> {
        let number = frame.header.slot.frame;
        for event in &frame.events {
            let n = event.position.n;
            if n < course.next {
                continue;
            }
            let ends = (n == frame.header.last_position()).then_some(number);
            let generation = &course.generation;
            generation.send(&self.queue.woken, event, &frame.id(), ends, &self.shared.source).await?;
            course.next = n + 1;
        }
        course.generation.acks.frame_sent(self.queue.shard, number);
        Ok(())
    }

    /// Sends what memory doesn't have any more, or never had.
    async fn send_from_log(&self, course: &mut Course, until: u64) -> Result<(), Broken> {
        let shard = self.queue.shard;
        let log = &self.shared.log;
        let walk = Walk::from_position(&**log, Position { shard, n: course.next }).await?;
        let mut walk = walk.by(PAGE_FRAMES, PAGE_BYTES);
        while course.next <= until {
            let page = walk.page().await?;
            if page.is_empty() {
                let missing = Position { shard, n: course.next };
                return Err(LogError::Unavailable(format!("the log doesn't show {missing} yet")).into());
            }
            for decoded in &page {
                let gap = decoded.header.first_position > course.next;
                if gap && decoded.header.events > 0 {
                    let at = Position { shard, n: course.next };
                    return Err(LogError::Corrupt(at.to_string(), "it is in no frame".to_owned()).into());
                }
                self.send(course, decoded).await?;
            }
        }
        Ok(())
    }
}

/// Why publishing stopped without an error.
enum Done {
    NewOwner,
    Stopped,
}
