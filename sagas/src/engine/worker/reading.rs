//! Reading the read model: what was opened before the worker began, what found no room in memory, and a look every now and then at
//! whatever else may be open.
//!
//! A lane is read in passes, from the oldest piece on, page by page as memory has room. A pass settles what the lane owes when the rows
//! held all of it as the pass began.

use std::time::Duration;

use domain::pauses;
use domain::position::{Position, Seen};
use tokio::time::Instant;

use crate::engine::work::Cursor;

/// The largest page.
pub(super) const PAGE: usize = 256;

/// What was read of one lane, and what is to be read.
pub(super) struct Reading {
    /// The lane is crowded: rows that hold this much show open work that isn't in memory. `None`: all that is due is in memory.
    owed: Option<Seen>,
    /// Counts what came to be owed.
    owes: u64,
    pass: Option<Pass>,
    /// Counts passes, so that a page of one that was given up is told apart.
    passes: u64,
    /// The next pass begins by then, whatever is owed.
    next: Instant,
    /// Not to be read before.
    rest_until: Instant,
    /// How many passes in a row brought nothing.
    fruitless: u32,
}

/// A pass under way.
#[derive(Default)]
pub(super) struct Pass {
    pub(super) after: Cursor,
    first: Option<First>,
    /// Something was kept.
    pub(super) fruitful: bool,
    /// Something that is open was not kept.
    pub(super) left_out: bool,
}

/// How things stood at the first page.
struct First {
    owes: u64,
    /// The rows held all that was owed.
    covered: bool,
    /// Nothing was owed.
    for_safety: bool,
}

impl Pass {
    /// Whether it only looks for what somebody else may have left.
    pub(super) fn is_for_safety(&self) -> bool {
        self.first.as_ref().is_some_and(|first| first.for_safety)
    }
}

/// Whether all of `owed` is in `seen`.
fn covers(seen: &Seen, owed: &Seen) -> bool {
    owed.positions().all(|position| seen.last(position.shard) >= position.n)
}

/// Moves up to a position, never down.
pub(super) fn raise(seen: &mut Seen, position: Position) {
    if seen.last(position.shard) < position.n {
        seen.advance(position);
    }
}

impl Reading {
    pub(super) fn new(now: Instant) -> Self {
        Self { owed: None, owes: 0, pass: None, passes: 0, next: now, rest_until: now, fruitless: 0 }
    }

    /// Rows from these positions on show something that isn't in memory.
    pub(super) fn owe(&mut self, shards: u16, positions: impl IntoIterator<Item = Position>) {
        let owed = self.owed.get_or_insert_with(|| Seen::none(shards));
        positions.into_iter().for_each(|position| raise(owed, position));
        self.owes += 1;
    }

    /// Everything is to be read from the beginning.
    pub(super) fn begin_anew(&mut self, heads: &Seen, now: Instant) {
        let shards = u16::try_from(heads.positions().count()).unwrap_or(u16::MAX);
        self.owe(shards, heads.positions());
        self.pass = None;
        self.wake(now);
    }

    fn wake(&mut self, now: Instant) {
        (self.rest_until, self.fruitless) = (now, 0);
    }

    /// The rows hold this much from now on: what is owed may be there now.
    pub(super) fn shown(&mut self, before: &Seen, seen: &Seen, now: Instant) {
        if self.owed.as_ref().is_some_and(|owed| covers(seen, owed) && !covers(before, owed)) {
            self.wake(now);
        }
    }

    /// When the lane is to be read, given that memory has room.
    pub(super) fn due_at(&self) -> Instant {
        if self.pass.is_some() || self.owed.is_some() {
            self.rest_until
        } else {
            self.next.max(self.rest_until)
        }
    }

    /// The place that the next page follows, and the number of its pass.
    pub(super) fn page(&mut self) -> (Cursor, u64) {
        if self.pass.is_none() {
            self.passes += 1;
        }
        (self.pass.get_or_insert_default().after.clone(), self.passes)
    }

    /// A page has come; `None` when its pass was given up.
    pub(super) fn arrived(&mut self, number: u64, seen: &Seen) -> Option<Pass> {
        let mut pass = self.pass.take_if(|_| self.passes == number)?;
        pass.first.get_or_insert_with(|| First {
            owes: self.owes,
            covered: self.owed.as_ref().is_none_or(|owed| covers(seen, owed)),
            for_safety: self.owed.is_none(),
        });
        Some(pass)
    }

    /// The page couldn't be read.
    pub(super) fn failed(&mut self, until: Instant) {
        self.rest_until = until;
    }

    /// There are more pages, or there was no more room.
    pub(super) fn goes_on(&mut self, pass: Pass) {
        self.pass = Some(pass);
    }

    /// That was the last page.
    pub(super) fn ended(&mut self, pass: &Pass, now: Instant, pace: Pace) {
        let settled = pass.first.as_ref().is_some_and(|first| first.covered && first.owes == self.owes);
        if settled && !pass.left_out {
            self.owed = None;
        }
        self.fruitless = if pass.fruitful { 0 } else { self.fruitless.saturating_add(1) };
        let looks = self.fruitless.saturating_add(1);
        self.rest_until = now + pauses::after(looks, pace.shortest, pace.longest);
        self.next = now + pace.poll;
    }
}

/// How often passes begin.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// The shortest rest after a pass, while something is owed.
    pub(super) shortest: Duration,
    /// The longest one, once passes bring nothing.
    pub(super) longest: Duration,
    /// When nothing is owed.
    pub(super) poll: Duration,
}
