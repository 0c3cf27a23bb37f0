//! One reader's place in the feed.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use domain::event::RecordedEvent;
use domain::frame::{FrameView, Slot};
use domain::ports::feed::FeedReader;
use domain::ports::log::{LogError, LogReader};
use domain::position::{Position, Seen, Shard};
use futures::future::join_all;
use tokio::sync::watch;

use super::Inner;

/// A batch holds about so many events.
const BATCH: usize = 2000;
/// A page read from the log for one shard: at most so many frames, and about so many bytes, divided among the shards.
const PAGE_FRAMES: usize = 1024;
const PAGES_BYTES: usize = 8 << 20;

pub(super) struct InProcessReader {
    inner: Arc<Inner>,
    published: watch::Receiver<u64>,
    shards: Vec<Place>,
    /// Whose turn it is to come first.
    turn: usize,
}

/// The reader's place in one shard.
struct Place {
    shard: Shard,
    /// The next position to hand out.
    next: u64,
    /// Events read from the log and not handed out yet; they begin at `next`.
    pending: VecDeque<Arc<RecordedEvent>>,
    /// The frame that follows the last page; `None` after events from the ring.
    next_frame: Option<u64>,
}

struct Page {
    events: VecDeque<Arc<RecordedEvent>>,
    next_frame: u64,
}

impl InProcessReader {
    pub(super) fn new(inner: Arc<Inner>, seen: &Seen) -> Self {
        let shards = (0..inner.log.store().shards).map(Shard);
        let place =
            |shard| Place { shard, next: seen.last(shard) + 1, pending: VecDeque::new(), next_frame: None };
        let shards = shards.map(place).collect();
        Self { published: inner.published.subscribe(), shards, inner, turn: 0 }
    }

    /// The shards that have news which only the log can tell.
    fn behind(&self) -> Vec<usize> {
        let needs_log = |place: &Place| {
            place.pending.is_empty()
                && self.inner.ring(place.shard, |ring| place.next <= ring.head() && !ring.reaches(place.next))
                    == Some(true)
        };
        (0..self.shards.len()).filter(|i| needs_log(&self.shards[*i])).collect()
    }

    /// Hands out what is at hand, in turn, so that no busy shard keeps the others waiting; `None` when there is no news.
    fn collect(&mut self) -> Option<Vec<Arc<RecordedEvent>>> {
        let inner = &self.inner;
        // How many events of each shard are news: a page may hold frames that are decided, but not published yet.
        let ready: Vec<(usize, u64)> = (self.turn..self.shards.len())
            .chain(0..self.turn)
            .map(|i| (i, (inner.head(self.shards[i].shard) + 1).saturating_sub(self.shards[i].next)))
            .filter(|(_, news)| *news > 0)
            .collect();
        if ready.is_empty() {
            return None;
        }
        self.turn = (self.turn + 1) % self.shards.len();
        let quota = (BATCH / ready.len()).max(1);
        let mut out = Vec::with_capacity(quota);
        for (index, news) in ready {
            let place = &mut self.shards[index];
            let quota = usize::try_from(news).map_or(quota, |news| news.min(quota));
            let before = out.len();
            if place.pending.is_empty() {
                inner.ring(place.shard, |ring| ring.copy(place.next, quota, &mut out));
                place.next_frame = None;
            } else {
                out.extend(place.pending.drain(..quota.min(place.pending.len())));
            }
            place.next += (out.len() - before) as u64;
        }
        Some(out)
    }

    /// Reads a page for each of the shards, at the same time.
    async fn fetch(&mut self, behind: &[usize]) -> Result<(), LogError> {
        let log = &*self.inner.log;
        let page_bytes = PAGES_BYTES / self.shards.len().max(1);
        let pages = behind.iter().map(|index| {
            let place = &self.shards[*index];
            page(log, Position { shard: place.shard, n: place.next }, place.next_frame, page_bytes)
        });
        let pages = join_all(pages).await;
        let mut failed = None;
        for (index, page) in behind.iter().zip(pages) {
            match page {
                Ok(page) => {
                    self.shards[*index].pending = page.events;
                    self.shards[*index].next_frame = Some(page.next_frame);
                }
                Err(error) => {
                    self.shards[*index].next_frame = None;
                    failed = Some(error);
                }
            }
        }
        // Pages that did come are kept: the next call hands them out.
        failed.map_or(Ok(()), Err)
    }
}

/// The frames from the one that holds `next` on.
async fn page(
    log: &dyn LogReader,
    next: Position,
    from: Option<u64>,
    max_bytes: usize,
) -> Result<Page, LogError> {
    let shard = next.shard;
    let mut frame = match from {
        Some(frame) => frame,
        None => log.frame_of_position(next).await?,
    };
    let mut events: VecDeque<Arc<RecordedEvent>> = VecDeque::new();
    while events.is_empty() {
        let frames = log.read_frames(shard, frame, PAGE_FRAMES, max_bytes).await?;
        if frames.is_empty() {
            return Err(LogError::Corrupt(
                next.to_string(),
                "the feed knows it, but the log doesn't hold it".to_owned(),
            ));
        }
        for bytes in frames {
            let slot = Slot { shard, frame };
            let unreadable = |e: domain::frame::WireError| LogError::Corrupt(slot.to_string(), e.to_string());
            let view = FrameView::parse(&bytes).map_err(unreadable)?;
            let decoded = view.decode_events().map_err(unreadable)?;
            events.extend(decoded.into_iter().filter(|event| event.position.n >= next.n).map(Arc::new));
            frame += 1;
        }
    }
    let dense = events.iter().zip(next.n..).all(|(event, n)| event.position == Position { shard, n });
    if !dense {
        return Err(LogError::Corrupt(next.to_string(), "the log's positions are not dense here".to_owned()));
    }
    Ok(Page { events, next_frame: frame })
}

#[async_trait]
impl FeedReader for InProcessReader {
    async fn next(&mut self) -> Result<Vec<Arc<RecordedEvent>>, LogError> {
        loop {
            // Marked as seen before looking, so that what is published meanwhile ends the wait below.
            self.published.borrow_and_update();
            let behind = self.behind();
            if !behind.is_empty() {
                self.fetch(&behind).await?;
            }
            match self.collect() {
                Some(batch) if !batch.is_empty() => return Ok(batch),
                // A ring went on meanwhile: the log has what it dropped.
                Some(_) => {}
                // The sender lives in `inner`, which this reader keeps, so the wait ends with news only.
                None => drop(self.published.changed().await),
            }
        }
    }
}
