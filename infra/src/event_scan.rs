//! What every database makes of a list of events, so that a page costs a bounded amount whatever it is asked for.
//!
//! A filter that an index serves reads little. But nothing serves every combination, and a planner may err: so the log is gone through
//! in windows of positions, which are dense. However a window is read, it has no more rows than positions. Windows grow while they
//! take little time; when the time is up, the page ends where the last one did, with what was found, and its cursor goes on there.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::event::RecordedEvent;
use domain::position::{Position, Seen, Shard};
use projections::engine::events::EventPage;

/// How much one page may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanLimits {
    /// Positions in the first window.
    pub window: u64,
    /// When this has passed, no other window is begun.
    pub time: Duration,
}

impl Default for ScanLimits {
    fn default() -> Self {
        Self { window: 20_000, time: Duration::from_secs(1) }
    }
}

/// Events that are read at once; each may have a megabyte.
const AT_ONCE: usize = 25;
/// A page with so many bytes of data is not made longer.
const PAGE_BYTES: usize = 4 << 20;
/// A window that takes less lets the next one be larger.
const LITTLE: Duration = Duration::from_millis(50);
const GROWTH: u64 = 4;

/// Positions of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) shard: Shard,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Window {
    pub(crate) fn positions(&self) -> RangeInclusive<u64> {
        self.first..=self.last
    }
}

/// A page that is being put together.
pub(crate) struct EventScan {
    /// The last positions of the shards that are left, in order.
    heads: std::vec::IntoIter<Position>,
    /// The rest of the shard that is being gone through.
    rest: Option<Window>,
    width: u64,
    begun: Instant,
    window_begun: Instant,
    limits: ScanLimits,
    limit: usize,
    /// How many events of the window were asked for.
    asked: usize,
    /// A window was read.
    moved: bool,
    /// The data found.
    bytes: usize,
    found: Vec<Arc<RecordedEvent>>,
    next: Option<Position>,
}

impl EventScan {
    /// A page of so many events from a position on, none above the heads.
    pub(crate) fn new(from: Position, heads: &Seen, limit: usize, limits: ScanLimits) -> Self {
        let heads: Vec<Position> = heads.positions().filter(|head| head.shard >= from.shard).collect();
        let mut heads = heads.into_iter();
        let begins_here = heads.as_slice().first().is_some_and(|head| head.shard == from.shard);
        let first = if begins_here { heads.next() } else { None };
        let rest = first.map(|head| Window { shard: head.shard, first: from.n.max(1), last: head.n });
        let begun = Instant::now();
        Self {
            heads,
            rest,
            width: limits.window.max(1),
            begun,
            window_begun: begun,
            limits,
            limit,
            asked: 0,
            moved: false,
            bytes: 0,
            found: Vec::new(),
            next: None,
        }
    }

    /// The next window to be read, and how many events of it at most; `None` when the page is done.
    pub(crate) fn window(&mut self) -> Option<(Window, usize)> {
        if self.next.is_some() {
            return None;
        }
        let rest = loop {
            match self.rest.filter(|rest| rest.first <= rest.last) {
                Some(rest) => break rest,
                None => {
                    let head = self.heads.next()?;
                    self.rest = Some(Window { shard: head.shard, first: 1, last: head.n });
                }
            }
        };
        self.window_begun = Instant::now();
        let last = rest.last.min(rest.first.saturating_add(self.width - 1));
        // One more than the page is where the next page starts.
        self.asked = (self.limit + 1 - self.found.len()).min(AT_ONCE);
        Some((Window { last, ..rest }, self.asked))
    }

    /// Takes what a window has.
    pub(crate) fn took(&mut self, window: Window, events: Vec<Arc<RecordedEvent>>) {
        self.moved = true;
        self.bytes += events.iter().map(|event| event.data.len()).sum::<usize>();
        // As many as were asked for: there may be more of them in the window.
        let last = events.last().filter(|_| events.len() == self.asked).map(|event| event.position.n);
        self.found.extend(events);
        if let Some(event) = self.found.get(self.limit) {
            self.next = Some(event.position);
            self.found.truncate(self.limit);
            return;
        }
        if let Some(rest) = &mut self.rest {
            rest.first = last.unwrap_or(window.last) + 1;
        }
        if last.is_none() && self.window_begun.elapsed() < LITTLE {
            self.width = self.width.saturating_mul(GROWTH);
        }
        if self.begun.elapsed() >= self.limits.time || self.bytes >= PAGE_BYTES {
            self.cut();
        }
    }

    /// Ends the page with what was found, because a window took too long. Whether anything was read at all.
    pub(crate) fn gave_up(&mut self, window: Window) -> bool {
        if let Some(rest) = &mut self.rest {
            rest.first = window.first;
        }
        self.cut();
        self.moved
    }

    /// The page goes on at the first position that wasn't read.
    fn cut(&mut self) {
        let rest = self.rest.filter(|rest| rest.first <= rest.last);
        self.next = rest
            .map(|rest| (rest.shard, rest.first))
            .map(position)
            .or_else(|| self.heads.find(|head| head.n > 0).map(|head| position((head.shard, 1))));
        // Nothing is left: then neither is another page.
        self.heads = Vec::new().into_iter();
        self.rest = None;
    }

    pub(crate) fn page(self) -> EventPage {
        EventPage { events: self.found, next: self.next }
    }
}

fn position((shard, n): (Shard, u64)) -> Position {
    Position { shard, n }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads() -> Seen {
        let mut heads = Seen::none(3);
        for text in ["0:25", "2:7"] {
            heads.advance(text.parse().unwrap());
        }
        heads
    }

    fn windows(from: &str, limits: ScanLimits) -> (Vec<(u16, u64, u64)>, Option<Position>) {
        let mut scan = EventScan::new(from.parse().unwrap(), &heads(), 10, limits);
        let mut windows = Vec::new();
        while let Some((window, limit)) = scan.window() {
            assert_eq!(limit, 11);
            windows.push((window.shard.0, window.first, window.last));
            scan.took(window, Vec::new());
        }
        (windows, scan.page().next)
    }

    // proves: AUD-1
    #[test]
    fn windows_cover_every_position_once_and_grow() {
        let limits = ScanLimits { window: 5, time: Duration::from_secs(60) };
        assert_eq!(windows("0:1", limits), (vec![(0, 1, 5), (0, 6, 25), (2, 1, 7)], None));
        assert_eq!(windows("0:25", limits), (vec![(0, 25, 25), (2, 1, 7)], None));
        assert_eq!(windows("0:26", limits), (vec![(2, 1, 5), (2, 6, 7)], None));
        assert_eq!(windows("1:1", limits), (vec![(2, 1, 5), (2, 6, 7)], None));
        assert_eq!(windows("2:8", limits), (vec![], None));
        assert_eq!(windows("2:0", limits), (vec![(2, 1, 5), (2, 6, 7)], None));
    }

    // proves: AUD-1, SEC-10
    #[test]
    fn a_page_whose_time_is_up_says_where_it_goes_on() {
        let limits = ScanLimits { window: 20, time: Duration::ZERO };
        let at = |text: &str| Some(text.parse().unwrap());
        assert_eq!(windows("0:1", limits), (vec![(0, 1, 20)], at("0:21")));
        assert_eq!(windows("0:21", limits), (vec![(0, 21, 25)], at("2:1")));
        assert_eq!(windows("2:1", limits), (vec![(2, 1, 7)], None));
        let mut scan = EventScan::new("0:3".parse().unwrap(), &heads(), 10, limits);
        let (window, _) = scan.window().unwrap();
        scan.gave_up(window);
        assert_eq!((scan.window(), scan.page().next), (None, at("0:3")));
    }
}
