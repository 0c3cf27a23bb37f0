//! One reader's place in the feed.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use domain::frame::{FrameView, Slot};
use domain::ports::feed::{FeedEvent, FeedReader};
use domain::ports::log::{LogError, LogReader};
use domain::position::{Position, Seen, Shard};
use futures::future::join_all;
use tokio::sync::watch;
use tokio::time::{Duration, Instant};

use super::FeedInner;

/// A batch holds about so many events.
const BATCH: usize = 2000;
/// A page read from the log for one shard: at most so many frames, and about so many bytes, divided among the shards.
const PAGE_FRAMES: usize = 1024;
const PAGES_BYTES: usize = 8 << 20;
/// A shard whose page couldn't be read is left out for so long, so that it costs the others little.
const REST: Duration = Duration::from_secs(1);

pub(super) struct InProcessReader {
    inner: Arc<FeedInner>,
    published: watch::Receiver<u64>,
    shards: Vec<RingPlace>,
    /// Whose turn it is to come first.
    turn: usize,
}

/// The reader's place in one shard.
struct RingPlace {
    shard: Shard,
    /// The next position to hand out.
    next: u64,
    /// Events read from the log and not handed out yet; they begin at `next`.
    pending: VecDeque<FeedEvent>,
    /// The frame that follows the last page; `None` after events from the ring.
    next_frame: Option<u64>,
    /// Its last page couldn't be read: left out until then.
    rests_until: Option<Instant>,
}

struct Page {
    events: VecDeque<FeedEvent>,
    next_frame: u64,
}

impl InProcessReader {
    pub(super) fn new(inner: Arc<FeedInner>, seen: &Seen) -> Self {
        let shards = (0..inner.log.store().shards).map(Shard);
        let place = |shard| RingPlace {
            shard,
            next: seen.last(shard) + 1,
            pending: VecDeque::new(),
            next_frame: None,
            rests_until: None,
        };
        let shards = shards.map(place).collect();
        Self { published: inner.rings.subscribe(), shards, inner, turn: 0 }
    }

    /// The shards that have news which only the log can tell.
    fn behind(&mut self) -> Vec<usize> {
        let now = Instant::now();
        for place in &mut self.shards {
            place.rests_until = place.rests_until.filter(|until| *until > now);
        }
        let needs_log = |place: &RingPlace| {
            place.pending.is_empty()
                && self
                    .inner
                    .rings
                    .ring(place.shard, |ring| place.next <= ring.head() && !ring.reaches(place.next))
                    == Some(true)
        };
        let awake = |place: &RingPlace| place.rests_until.is_none();
        (0..self.shards.len()).filter(|i| awake(&self.shards[*i]) && needs_log(&self.shards[*i])).collect()
    }

    /// When the first of the resting shards is to be tried again.
    fn next_try(&self) -> Option<Instant> {
        self.shards.iter().filter_map(|place| place.rests_until).min()
    }

    /// Hands out what is at hand, in turn, so that no busy shard keeps the others waiting; `None` when there is no news.
    fn collect(&mut self) -> Option<Vec<FeedEvent>> {
        let inner = &self.inner;
        // How many events of each shard are news: a page may hold frames that are decided, but not published yet.
        let ready: Vec<(usize, u64)> = (self.turn..self.shards.len())
            .chain(0..self.turn)
            .map(|i| (i, (inner.rings.head(self.shards[i].shard) + 1).saturating_sub(self.shards[i].next)))
            .filter(|(_, news)| *news > 0)
            .collect();
        if ready.is_empty() {
            return None;
        }
        self.turn = (self.turn + 1) % self.shards.len();
        let quota = (BATCH / ready.len()).max(1);
        let share = |news: u64| usize::try_from(news).map_or(quota, |news| news.min(quota));
        let mut out = Vec::with_capacity(ready.iter().map(|(_, news)| share(*news)).sum());
        for (index, news) in ready {
            let place = &mut self.shards[index];
            let quota = share(news);
            let before = out.len();
            if place.pending.is_empty() {
                inner.rings.after(place.shard, place.next - 1, quota, &mut out);
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
                    self.shards[*index].rests_until = None;
                }
                Err(error) => {
                    self.shards[*index].next_frame = None;
                    self.shards[*index].rests_until = Some(Instant::now() + REST);
                    failed = Some(error);
                }
            }
        }
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
    let mut events: VecDeque<FeedEvent> = VecDeque::new();
    while events.is_empty() {
        let frames = log.read_frames(shard, frame, PAGE_FRAMES, max_bytes).await?;
        if frames.is_empty() {
            return Err(LogError::Corrupt(
                next.to_string(),
                "the feed knows it, but the log doesn't hold it".to_owned(),
            ));
        }
        for bytes in frames {
            match decode(Slot { shard, frame }, &bytes, next.n + events.len() as u64) {
                Ok(decoded) => events.extend(decoded),
                // What comes before is handed out first; the next page begins with this frame, and says so.
                Err(_) if !events.is_empty() => break,
                Err(error) => return Err(error),
            }
            frame += 1;
        }
    }
    Ok(Page { events, next_frame: frame })
}

/// The frame's events from position `next` on, which must be the first of them.
fn decode(slot: Slot, bytes: &[u8], next: u64) -> Result<Vec<FeedEvent>, LogError> {
    let unreadable = |e: domain::frame::WireError| LogError::Corrupt(slot.to_string(), e.to_string());
    let view = FrameView::parse(bytes).map_err(unreadable)?;
    let decoded = view.decode_events().map_err(unreadable)?.into_iter();
    let fed = |event| FeedEvent { event: Arc::new(event), frame: Some(view.id()) };
    let events: Vec<_> = decoded.filter(|event| event.position.n >= next).map(fed).collect();
    let dense = events.first().is_none_or(|event| event.position == Position { shard: slot.shard, n: next });
    if !dense {
        return Err(LogError::Corrupt(slot.to_string(), "the log's positions are not dense here".to_owned()));
    }
    Ok(events)
}

#[async_trait]
impl FeedReader for InProcessReader {
    async fn next(&mut self) -> Result<Vec<FeedEvent>, LogError> {
        loop {
            // Marked as seen before looking, so that what is published meanwhile ends the wait below.
            self.published.borrow_and_update();
            let behind = self.behind();
            let failed = if behind.is_empty() { None } else { self.fetch(&behind).await.err() };
            let news = match self.collect() {
                Some(batch) if !batch.is_empty() => {
                    if let Some(error) = failed {
                        tracing::warn!(%error, "a shard can't be read and waits; the others go on");
                    }
                    return Ok(batch);
                }
                batch => batch.is_some(),
            };
            if let Some(error) = failed {
                return Err(error);
            }
            // The sender lives in `inner`, which this reader keeps, so a wait for it ends with news only.
            match self.next_try() {
                // A ring went on meanwhile: the log has what it dropped.
                None if news => {}
                None => drop(self.published.changed().await),
                Some(at) => tokio::select! {
                    published = self.published.changed() => drop(published),
                    () = tokio::time::sleep_until(at) => {}
                },
            }
        }
    }
}
