//! A reader's place in one shard, and reading its log.

use std::sync::Arc;
use std::time::Duration;

use domain::frame::DecidedFrame;
use domain::ports::feed::FeedEvent;
use domain::ports::log::{LogError, LogReader};
use domain::position::{Position, Shard};
use tokio::time::Instant;

/// A page read from the log for one shard: at most so many frames, and about so many bytes, divided among the shards.
const PAGE_FRAMES: usize = 1024;
pub(super) const PAGES_BYTES: usize = 8 << 20;
/// The log of a quiet shard is looked at after the first of these pauses, then at growing ones up to the last.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const QUIET: Duration = Duration::from_secs(1);
/// So often when Kafka doesn't work.
const ALONE: Duration = Duration::from_millis(100);

/// The reader's place in one shard.
pub(super) struct KafkaPlace {
    pub(super) shard: Shard,
    /// The last position handed out.
    pub(super) last: u64,
    /// A position that is known to be decided.
    known: u64,
    /// The frame after `last`, when a page of the log has told.
    next_frame: Option<u64>,
    /// A page is being read.
    reading: bool,
    /// When the log is to be looked at.
    look_at: Instant,
    pause: Duration,
    /// How many looks in turn have failed.
    pub(super) failures: u32,
}

/// What a look at the log has brought.
pub(super) struct Page {
    pub(super) shard: Shard,
    pub(super) read: Result<Events, LogError>,
}

pub(super) struct Events {
    /// The position that the page begins after.
    after: u64,
    events: Vec<FeedEvent>,
    next_frame: u64,
}

/// A look at the log that is due.
pub(super) struct Look {
    shard: Shard,
    after: u64,
    from: Option<u64>,
}

impl KafkaPlace {
    pub(super) fn new(shard: Shard, last: u64) -> Self {
        let look_at = Instant::now();
        Self {
            shard,
            last,
            known: 0,
            next_frame: None,
            reading: false,
            look_at,
            pause: FIRST_LOOK,
            failures: 0,
        }
    }

    /// The reader gets this shard, or something has changed: look at the log now, and often for a while.
    pub(super) fn look_now(&mut self) {
        self.look_at = Instant::now();
        self.pause = FIRST_LOOK;
    }

    /// An event came through Kafka. True when it is the next one.
    pub(super) fn arrived(&mut self, n: u64) -> bool {
        if n == self.last + 1 {
            self.last = n;
            self.next_frame = None;
            return true;
        }
        self.is_decided(n);
        false
    }

    /// Everything up to this position is known to be decided: the log has what was not handed out yet.
    pub(super) fn is_decided(&mut self, n: u64) {
        if n > self.last && n > self.known {
            self.known = n;
            self.look_at = Instant::now();
        }
    }

    /// Everything up to this position is handed out.
    pub(super) fn skip_to(&mut self, n: u64) {
        self.last = n;
        self.next_frame = None;
    }

    /// Kafka brings what is new: the log need not be looked at for a while.
    pub(super) fn is_lively(&mut self, now: Instant) {
        if self.known <= self.last {
            self.pause = QUIET;
            self.look_at = now + QUIET;
        }
    }

    /// When the log is to be looked at; `None` while it is being read.
    pub(super) fn due_at(&self) -> Option<Instant> {
        (!self.reading).then_some(self.look_at)
    }

    /// Takes a look that is due.
    pub(super) fn look(&mut self, now: Instant) -> Option<Look> {
        if self.reading || self.look_at > now {
            return None;
        }
        self.reading = true;
        Some(Look { shard: self.shard, after: self.last, from: self.next_frame })
    }

    /// Takes a page in, and appends the events that are next.
    pub(super) fn take(
        &mut self,
        page: Result<Events, LogError>,
        alone: bool,
        out: &mut Vec<FeedEvent>,
    ) -> Result<(), LogError> {
        self.reading = false;
        let now = Instant::now();
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                self.failures += 1;
                self.next_frame = None;
                self.look_at = now + QUIET;
                return Err(error);
            }
        };
        self.failures = 0;
        let end = page.after + page.events.len() as u64;
        let fresh = end.saturating_sub(self.last);
        // Kafka may have brought some of them meanwhile. The page is contiguous, so what is left follows `last`.
        out.extend(page.events.into_iter().filter(|event| event.position.n > self.last));
        self.last = self.last.max(end);
        self.next_frame = (self.last == end).then_some(page.next_frame);
        if fresh > 0 {
            // There is more, most likely.
            self.look_at = now;
            self.pause = FIRST_LOOK;
        } else {
            self.look_at = now + self.pause;
            self.pause = (self.pause * 2).min(if alone { ALONE } else { QUIET });
        }
        Ok(())
    }

    /// Drops a page: the shard isn't this reader's any more.
    pub(super) fn discard(&mut self) {
        self.reading = false;
        self.next_frame = None;
    }

    /// Whether Kafka has told of events that the log has not yet shown.
    pub(super) fn is_behind(&self) -> bool {
        self.known > self.last
    }
}

impl Look {
    /// Reads the log.
    pub(super) async fn read(self, log: Arc<dyn LogReader>, max_bytes: usize) -> Page {
        let shard = self.shard;
        Page { shard, read: self.page(&*log, max_bytes).await }
    }

    async fn page(self, log: &dyn LogReader, max_bytes: usize) -> Result<Events, LogError> {
        let Self { shard, after, from } = self;
        let mut frame = match from {
            Some(frame) => frame,
            None => log.frame_of_position(Position { shard, n: after + 1 }).await?,
        };
        let mut events: Vec<FeedEvent> = Vec::new();
        let mut end = after;
        loop {
            let rows = log.read_frames(shard, frame, PAGE_FRAMES, max_bytes).await?;
            let at_the_tail = rows.is_empty();
            for row in rows {
                match follow(shard, frame, &row, &mut end, &mut events) {
                    Ok(()) => frame += 1,
                    // What comes before is handed out first; the next page begins with this frame, and says so.
                    Err(_) if !events.is_empty() => break,
                    Err(error) => return Err(error),
                }
            }
            // Frames without events are no news.
            if at_the_tail || !events.is_empty() {
                return Ok(Events { after, events, next_frame: frame });
            }
        }
    }
}

/// Appends the frame's events after `end`, which must follow it without a gap.
fn follow(
    shard: Shard,
    frame: u64,
    row: &[u8],
    end: &mut u64,
    events: &mut Vec<FeedEvent>,
) -> Result<(), LogError> {
    let corrupt = |reason: String| LogError::Corrupt(format!("frame {frame} of shard {shard}"), reason);
    let decoded = DecidedFrame::decode(row).map_err(|error| corrupt(error.to_string()))?;
    let fresh = FeedEvent::all_of(&decoded).filter(|event| event.position.n > *end);
    let mut next = *end;
    let before = events.len();
    for event in fresh {
        if event.position != (Position { shard, n: next + 1 }) {
            events.truncate(before);
            return Err(corrupt("the log's positions are not dense here".to_owned()));
        }
        next += 1;
        events.push(event);
    }
    *end = next;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: P7
    #[test]
    fn only_the_next_event_is_taken_from_kafka_and_a_gap_calls_for_the_log() {
        let mut place = KafkaPlace::new(Shard(0), 5);
        place.look_at = Instant::now() + QUIET;
        assert!(!place.arrived(5), "a repeat");
        assert!(place.look(Instant::now()).is_none());
        assert!(place.arrived(6));
        assert!(!place.arrived(9), "a gap");
        assert!(place.is_behind() && place.look(Instant::now()).is_some());
        assert!(place.look(Instant::now()).is_none(), "one look at a time");
    }

    // proves: P7
    #[test]
    fn what_is_decided_is_not_thereby_handed_out() {
        let mut place = KafkaPlace::new(Shard(0), 5);
        place.look_at = Instant::now() + QUIET;
        place.is_decided(6);
        assert_eq!(place.last, 5, "the log is still to be asked for the next event");
        assert!(place.is_behind() && place.look(Instant::now()).is_some());
    }

    #[test]
    fn a_quiet_shard_is_looked_at_ever_less_and_a_page_overtaken_by_kafka_repeats_nothing() {
        let mut place = KafkaPlace::new(Shard(0), 5);
        let mut out = Vec::new();
        let nothing = |after| Ok(Events { after, events: Vec::new(), next_frame: 3 });
        for _ in 0..20 {
            place.reading = true;
            place.take(nothing(5), false, &mut out).unwrap();
        }
        assert_eq!((place.pause, place.next_frame), (QUIET, Some(3)));
        assert!(place.arrived(6));
        place.reading = true;
        place.take(nothing(5), false, &mut out).unwrap();
        assert_eq!((place.last, place.next_frame, out.len()), (6, None, 0));
        // One that brings only what was handed out meanwhile is no reason to look again at once.
        let look_at = Instant::now() + QUIET;
        place.look_at = look_at;
        place.reading = true;
        place.take(Ok(Events { after: 5, events: Vec::new(), next_frame: 4 }), false, &mut out).unwrap();
        assert!(place.look_at > Instant::now(), "a quiet shard");
    }
}
